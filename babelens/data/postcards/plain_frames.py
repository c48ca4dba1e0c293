"""Frames whose words tell the type: a role beside the name, and what is said of it.

Each frame and role is written in English, French, German and Spanish, in this order. The frames of the test part are
made of words of the other frames.
"""

Lines = tuple[str, str, str, str]

# What stands before the name.
ROLES: dict[str, tuple[Lines, ...]] = {
    "PER": (
        ("the singer", "la chanteuse", "die Sängerin", "la cantante"),
        ("the doctor", "le médecin", "der Arzt", "el médico"),
        ("the dancer", "la danseuse", "die Tänzerin", "la bailarina"),
        ("the writer", "l' écrivain", "der Schriftsteller", "el escritor"),
        ("the minister", "la ministre", "die Ministerin", "la ministra"),
        ("the actor", "l' acteur", "der Schauspieler", "el actor"),
        ("the coach", "l' entraîneur", "der Trainer", "el entrenador"),
    ),
    "LOC": (
        ("the city of", "la ville de", "die Stadt", "la ciudad de"),
        ("the village of", "le village de", "das Dorf", "el pueblo de"),
        ("the island of", "l' île de", "die Insel", "la isla de"),
        ("the valley of", "la vallée de", "das Tal von", "el valle de"),
        ("the port of", "le port de", "der Hafen von", "el puerto de"),
        ("the region of", "la région de", "die Region", "la región de"),
        ("the beach of", "la plage de", "der Strand von", "la playa de"),
    ),
    "ORG": (
        ("the company", "l' entreprise", "das Unternehmen", "la empresa"),
        ("the bank", "la banque", "die Bank", "el banco"),
        ("the sports club", "le club de sport", "der Sportverein", "el club deportivo"),
        ("the foundation", "la fondation", "die Stiftung", "la fundación"),
        ("the airline", "la compagnie aérienne", "die Fluggesellschaft", "la aerolínea"),
        ("the association", "l' association", "der Verband", "la asociación"),
        ("the party", "le parti", "die Partei", "el partido"),
    ),
    "MISC": (
        ("the film", "le film", "der Film", "la película"),
        ("the car", "la voiture", "das Auto", "el coche"),
        ("the phone", "le téléphone", "das Handy", "el teléfono"),
        ("the festival", "le festival", "das Festival", "el festival"),
        ("the song", "la chanson", "das Lied", "la canción"),
        ("the perfume", "le parfum", "das Parfüm", "el perfume"),
        ("the video game", "le jeu vidéo", "das Videospiel", "el videojuego"),
    ),
}

# The types of the mentions, and the lines.
Frame = tuple[tuple[str, ...], Lines]

FRAMES: tuple[Frame, ...] = (
    (
        ("PER",),
        (
            "{0} opened the exhibition yesterday .",
            "{0} a ouvert l' exposition hier .",
            "{0} eröffnete gestern die Ausstellung .",
            "{0} inauguró ayer la exposición .",
        ),
    ),
    (
        ("PER",),
        (
            "The journalist interviewed {0} at home .",
            "La journaliste a interrogé {0} à la maison .",
            "Die Journalistin befragte {0:acc} zu Hause .",
            "La periodista entrevistó {0:a} en casa .",
        ),
    ),
    (
        ("PER",),
        (
            "{0} laughed and waved to the crowd .",
            "{0} a ri et a salué la foule .",
            "{0} lachte und winkte der Menge zu .",
            "{0} rió e hizo señas a la multitud .",
        ),
    ),
    (
        ("PER",),
        (
            "The neighbours had dinner with {0} .",
            "Les voisins ont dîné avec {0} .",
            "Die Nachbarn aßen mit {0:dat} zu Abend .",
            "Los vecinos cenaron con {0} .",
        ),
    ),
    (
        ("LOC",),
        (
            "{0} is two hours away from here .",
            "{0} se trouve à deux heures d' ici .",
            "{0} liegt zwei Stunden von hier entfernt .",
            "{0} está a dos horas de aquí .",
        ),
    ),
    (
        ("LOC",),
        (
            "Thick fog covered {0} .",
            "Un épais brouillard couvrait {0} .",
            "Dichter Nebel bedeckte {0:acc} .",
            "Una espesa niebla cubría {0} .",
        ),
    ),
    (
        ("LOC",),
        (
            "The storm reached {0} at noon .",
            "L' orage a atteint {0} à midi .",
            "Der Sturm erreichte {0:acc} am Mittag .",
            "La tormenta alcanzó {0} al mediodía .",
        ),
    ),
    (
        ("LOC",),
        (
            "In summer , {0} attracts many visitors .",
            "En été , {0} attire beaucoup de visiteurs .",
            "Im Sommer zieht {0} viele Besucher an .",
            "En verano , {0} atrae a muchos visitantes .",
        ),
    ),
    (
        ("ORG",),
        (
            "{0} is hiring fifty engineers .",
            "{0} recrute cinquante ingénieurs .",
            "{0} stellt fünfzig Ingenieure ein .",
            "{0} contrata a cincuenta ingenieros .",
        ),
    ),
    (
        ("ORG",),
        (
            "The board of {0} resigned on Friday .",
            "La direction {0:de} a démissionné vendredi .",
            "Am Freitag trat der Vorstand bei {0:dat} zurück .",
            "La directiva {0:de} dimitió el viernes .",
        ),
    ),
    (
        ("ORG",),
        (
            "{0} published its annual report .",
            "{0} a publié son rapport annuel .",
            "{0} veröffentlichte den Jahresbericht .",
            "{0} publicó su informe anual .",
        ),
    ),
    (
        ("ORG",),
        (
            "The union is negotiating with {0} .",
            "Le syndicat négocie avec {0} .",
            "Die Gewerkschaft verhandelt mit {0:dat} .",
            "El sindicato negocia con {0} .",
        ),
    ),
    (
        ("MISC",),
        (
            "Everyone is talking about {0} .",
            "Tout le monde parle {0:de} .",
            "Alle reden über {0:acc} .",
            "Todo el mundo habla {0:de} .",
        ),
    ),
    (
        ("MISC",),
        (
            "The jury gave the first prize to {0} .",
            "Le jury a donné le premier prix {0:à} .",
            "Die Jury gab {0:dat} den ersten Preis .",
            "El jurado dio el primer premio {0:a} .",
        ),
    ),
    (
        ("MISC",),
        (
            "A magazine criticised {0} .",
            "Un magazine a critiqué {0} .",
            "Eine Zeitschrift kritisierte {0:acc} .",
            "Una revista criticó {0} .",
        ),
    ),
    (
        ("MISC",),
        (
            "{0} was a surprise for everyone .",
            "{0} a été une surprise pour tout le monde .",
            "{0} war für alle eine Überraschung .",
            "{0} fue una sorpresa para todo el mundo .",
        ),
    ),
    (
        ("PER", "LOC"),
        (
            "{0} lives near {1} .",
            "{0} habite près {1:de} .",
            "{0} wohnt in der Nähe von {1:dat} .",
            "{0} vive cerca {1:de} .",
        ),
    ),
    (
        ("PER", "ORG"),
        (
            "{0} works for {1} .",
            "{0} travaille pour {1} .",
            "{0} arbeitet für {1:acc} .",
            "{0} trabaja para {1} .",
        ),
    ),
    (
        ("PER", "MISC"),
        (
            "{0} presented {1} on television .",
            "{0} a présenté {1} à la télévision .",
            "{0} stellte {1:acc} im Fernsehen vor .",
            "{0} presentó {1} en la televisión .",
        ),
    ),
    (
        ("ORG", "MISC"),
        (
            "{0} is financing {1} this year .",
            "{0} finance {1} cette année .",
            "{0} finanziert dieses Jahr {1:acc} .",
            "{0} financia {1} este año .",
        ),
    ),
    (
        ("ORG", "LOC"),
        (
            "{0} has an office near {1} .",
            "{0} a un bureau près {1:de} .",
            "{0} hat ein Büro in der Nähe von {1:dat} .",
            "{0} tiene una oficina cerca {1:de} .",
        ),
    ),
    (
        ("MISC", "LOC"),
        (
            "{0} comes from {1} .",
            "{0} vient {1:de} .",
            "{0} kommt aus {1:dat} .",
            "{0} viene {1:de} .",
        ),
    ),
)

TEST_FRAMES: tuple[Frame, ...] = (
    (
        ("PER",),
        (
            "{0} waved to the neighbours .",
            "{0} a salué les voisins .",
            "{0} winkte den Nachbarn zu .",
            "{0} hizo señas a los vecinos .",
        ),
    ),
    (
        ("PER",),
        (
            "{0} laughed at home yesterday .",
            "{0} a ri hier à la maison .",
            "{0} lachte gestern zu Hause .",
            "{0} rió ayer en casa .",
        ),
    ),
    (
        ("LOC",),
        (
            "In summer , the storm reached {0} .",
            "En été , l' orage a atteint {0} .",
            "Im Sommer erreichte der Sturm {0:acc} .",
            "En verano , la tormenta alcanzó {0} .",
        ),
    ),
    (
        ("LOC",),
        (
            "{0} attracts many visitors at noon .",
            "{0} attire beaucoup de visiteurs à midi .",
            "{0} zieht am Mittag viele Besucher an .",
            "{0} atrae a muchos visitantes al mediodía .",
        ),
    ),
    (
        ("ORG",),
        (
            "{0} published its annual report on Friday .",
            "{0} a publié vendredi son rapport annuel .",
            "{0} veröffentlichte am Freitag den Jahresbericht .",
            "{0} publicó el viernes su informe anual .",
        ),
    ),
    (
        ("ORG",),
        (
            "{0} is negotiating with the union .",
            "{0} négocie avec le syndicat .",
            "{0} verhandelt mit der Gewerkschaft .",
            "{0} negocia con el sindicato .",
        ),
    ),
    (
        ("MISC",),
        (
            "A magazine gave the first prize to {0} .",
            "Un magazine a donné le premier prix {0:à} .",
            "Eine Zeitschrift gab {0:dat} den ersten Preis .",
            "Una revista dio el primer premio {0:a} .",
        ),
    ),
    (
        ("MISC",),
        (
            "{0} was a surprise for the jury .",
            "{0} a été une surprise pour le jury .",
            "{0} war für die Jury eine Überraschung .",
            "{0} fue una sorpresa para el jurado .",
        ),
    ),
    (
        ("PER", "LOC"),
        (
            "{0} works near {1} .",
            "{0} travaille près {1:de} .",
            "{0} arbeitet in der Nähe von {1:dat} .",
            "{0} trabaja cerca {1:de} .",
        ),
    ),
    (
        ("ORG", "MISC"),
        (
            "{0} presented {1} this year .",
            "{0} a présenté {1} cette année .",
            "{0} stellte dieses Jahr {1:acc} vor .",
            "{0} presentó {1} este año .",
        ),
    ),
    (
        ("PER", "ORG"),
        (
            "{0} works for {1} this year .",
            "{0} travaille cette année pour {1} .",
            "{0} arbeitet dieses Jahr für {1:acc} .",
            "{0} trabaja este año para {1} .",
        ),
    ),
    (
        ("ORG", "LOC"),
        (
            "{0} is hiring engineers near {1} .",
            "{0} recrute des ingénieurs près {1:de} .",
            "{0} stellt in der Nähe von {1:dat} Ingenieure ein .",
            "{0} contrata a ingenieros cerca {1:de} .",
        ),
    ),
)
