"""Frames that two types fit equally well. Each is written in English, French, German and Spanish, in this order.

A frame belongs to one pair of types. Nothing in it may tell the two apart: no pronoun or participle that agrees with
the name, no preposition that only one type takes ("nach" or "zu"), no Spanish object that takes "a" for people only.
The frames of the test part are made of words of the other frames.
"""

Lines = tuple[str, str, str, str]

PREDICATES: dict[tuple[str, str], tuple[Lines, ...]] = {
    ("LOC", "PER"): (
        (
            "We often dream of {x} .",
            "Nous rêvons souvent {x:de} .",
            "Wir träumen oft von {x} .",
            "A menudo soñamos {x:con} .",
        ),
        (
            "Grandmother told us about {x} last night .",
            "Grand-mère nous a parlé {x:de} hier soir .",
            "Großmutter erzählte uns gestern Abend von {x} .",
            "La abuela nos habló anoche {x:de} .",
        ),
        (
            "{x} glowed in the morning sun .",
            "{x} [rayonnait|rayonnaient] au soleil du matin .",
            "{x} [strahlte|strahlten] in der Morgensonne .",
            "{x} [brillaba|brillaban] bajo el sol de la mañana .",
        ),
        (
            "The old sailor still thinks of {x} .",
            "Le vieux marin pense encore {x:à} .",
            "Der alte Seemann denkt noch immer an {x} .",
            "El viejo marinero todavía piensa {x:en} .",
        ),
        (
            "Without {x} , my childhood would have been sad .",
            "Sans {x} , mon enfance aurait été triste .",
            "Ohne {x} wäre meine Kindheit traurig gewesen .",
            "Sin {x} , mi infancia habría sido triste .",
        ),
    ),
    ("ORG", "PER"): (
        (
            "{x} [has|have] denied the accusations .",
            "{x} [a|ont] nié les accusations .",
            "{x} [hat|haben] die Vorwürfe bestritten .",
            "{x} [ha|han] negado las acusaciones .",
        ),
        (
            "On Monday , the judge ruled against {x} .",
            "Lundi , le juge a tranché contre {x} .",
            "Am Montag entschied der Richter gegen {x} .",
            "El lunes , el juez falló {x:contra} .",
        ),
        (
            "{x} [owes|owe] the bank a lot of money .",
            "{x} [doit|doivent] beaucoup d' argent à la banque .",
            "{x} [schuldet|schulden] der Bank viel Geld .",
            "{x} [debe|deben] mucho dinero al banco .",
        ),
        (
            "The lawyer signed a contract with {x} .",
            "L' avocate a signé un contrat avec {x} .",
            "Die Anwältin unterschrieb einen Vertrag mit {x} .",
            "La abogada firmó un contrato {x:con} .",
        ),
        (
            "According to {x} , the taxes are too high .",
            "Selon {x} , les impôts sont trop élevés .",
            "Laut {x} sind die Steuern zu hoch .",
            "Según {x} , los impuestos son demasiado altos .",
        ),
    ),
    ("LOC", "ORG"): (
        (
            "{x} [was|were] founded a hundred years ago .",
            "On a fondé {x} il y a cent ans .",
            "{x} [wurde|wurden] vor hundert Jahren gegründet .",
            "Fundaron {x} hace cien años .",
        ),
        (
            "The flood almost destroyed {x} .",
            "L' inondation a presque détruit {x} .",
            "Das Hochwasser hat {x} fast zerstört .",
            "La inundación casi destruyó {x} .",
        ),
        (
            "{x} [is|are] still growing every year .",
            "{x} [grandit|grandissent] encore chaque année .",
            "{x} [wächst|wachsen] noch jedes Jahr .",
            "{x} [crece|crecen] todavía cada año .",
        ),
        (
            "The map shows where {x} [is|are] .",
            "La carte montre où se [trouve|trouvent] {x} .",
            "Die Karte zeigt , wo {x} zu finden [ist|sind] .",
            "El mapa muestra dónde [está|están] {x} .",
        ),
        (
            "The mayor is proud of {x} .",
            "Le maire est fier {x:de} .",
            "Der Bürgermeister ist stolz auf {x} .",
            "El alcalde está orgulloso {x:de} .",
        ),
    ),
    ("LOC", "MISC"): (
        (
            "The photo of {x} won a prize .",
            "La photo {x:de} a remporté un prix .",
            "Das Foto von {x} gewann einen Preis .",
            "La foto {x:de} ganó un premio .",
        ),
        (
            "Tourists pay a fortune to see {x} .",
            "Les touristes paient une fortune pour voir {x} .",
            "Touristen zahlen ein Vermögen , um {x} zu sehen .",
            "Los turistas pagan una fortuna por ver {x} .",
        ),
        (
            "The painter has painted {x} ten times .",
            "La peintre a peint {x} dix fois .",
            "Die Malerin hat {x} zehnmal gemalt .",
            "La pintora ha pintado {x} diez veces .",
        ),
        (
            "The postcard shows {x} in winter .",
            "La carte postale montre {x} en hiver .",
            "Die Postkarte zeigt {x} im Winter .",
            "La postal muestra {x} en invierno .",
        ),
        (
            "{x} [appears|appear] on every stamp of the series .",
            "{x} [figure|figurent] sur chaque timbre de la série .",
            "{x} [ist|sind] auf jeder Briefmarke der Serie zu sehen .",
            "{x} [aparece|aparecen] en cada sello de la serie .",
        ),
    ),
    ("MISC", "ORG"): (
        (
            "The advert for {x} runs on every channel .",
            "La publicité pour {x} passe sur toutes les chaînes .",
            "Die Werbung für {x} läuft auf allen Kanälen .",
            "El anuncio {x:de} sale en todos los canales .",
        ),
        (
            "Online , customers complain about {x} .",
            "En ligne , les clients se plaignent {x:de} .",
            "Im Netz beschweren sich die Kunden über {x} .",
            "En la red , los clientes se quejan {x:de} .",
        ),
        (
            "Investors no longer believe in {x} .",
            "Les investisseurs ne croient plus {x:à} .",
            "Die Anleger glauben nicht mehr an {x} .",
            "Los inversores ya no creen {x:en} .",
        ),
        (
            "The sales of {x} have doubled .",
            "Les ventes {x:de} ont doublé .",
            "Die Verkäufe von {x} haben sich verdoppelt .",
            "Las ventas {x:de} se han duplicado .",
        ),
        (
            "The factory depends on {x} .",
            "L' usine dépend {x:de} .",
            "Die Fabrik hängt von {x} ab .",
            "La fábrica depende {x:de} .",
        ),
    ),
    ("MISC", "PER"): (
        (
            "The fans queued all night for {x} .",
            "Les fans ont attendu toute la nuit pour {x} .",
            "Die Fans standen die ganze Nacht für {x} an .",
            "Los fans hicieron cola toda la noche {x:por} .",
        ),
        (
            "{x} [deserves|deserve] all the applause .",
            "{x} [mérite|méritent] tous les applaudissements .",
            "{x} [verdient|verdienen] den ganzen Beifall .",
            "{x} [merece|merecen] todos los aplausos .",
        ),
        (
            "The audience fell in love with {x} .",
            "Le public est tombé amoureux {x:de} .",
            "Das Publikum hat sich in {x} verliebt .",
            "El público se enamoró {x:de} .",
        ),
        (
            "On stage , {x} surprised the critics .",
            "Sur scène , {x} [a|ont] surpris les critiques .",
            "Auf der Bühne [überraschte|überraschten] {x} die Kritiker .",
            "En el escenario , {x} [sorprendió|sorprendieron] a los críticos .",
        ),
        (
            "The children hung a poster of {x} on the wall .",
            "Les enfants ont accroché une affiche {x:de} au mur .",
            "Die Kinder hängten ein Plakat von {x} an die Wand .",
            "Los niños colgaron un cartel {x:de} en la pared .",
        ),
    ),
}

TEST_PREDICATES: dict[tuple[str, str], tuple[Lines, ...]] = {
    ("LOC", "PER"): (
        (
            "The old sailor often told us about {x} .",
            "Le vieux marin nous a souvent parlé {x:de} .",
            "Der alte Seemann erzählte uns oft von {x} .",
            "El viejo marinero nos habló a menudo {x:de} .",
        ),
        (
            "We often still dream of {x} .",
            "Nous rêvons encore souvent {x:de} .",
            "Wir träumen noch oft von {x} .",
            "A menudo todavía soñamos {x:con} .",
        ),
    ),
    ("ORG", "PER"): (
        (
            "The judge signed a contract with {x} .",
            "Le juge a signé un contrat avec {x} .",
            "Der Richter unterschrieb einen Vertrag mit {x} .",
            "El juez firmó un contrato {x:con} .",
        ),
        (
            "According to {x} , the bank owes a lot of money .",
            "Selon {x} , la banque doit beaucoup d' argent .",
            "Laut {x} schuldet die Bank viel Geld .",
            "Según {x} , el banco debe mucho dinero .",
        ),
    ),
    ("LOC", "ORG"): (
        (
            "The mayor shows where {x} [is|are] .",
            "Le maire montre où se [trouve|trouvent] {x} .",
            "Der Bürgermeister zeigt , wo {x} zu finden [ist|sind] .",
            "El alcalde muestra dónde [está|están] {x} .",
        ),
        (
            "The flood almost destroyed {x} a hundred years ago .",
            "L' inondation a presque détruit {x} il y a cent ans .",
            "Das Hochwasser hat {x} vor hundert Jahren fast zerstört .",
            "La inundación casi destruyó {x} hace cien años .",
        ),
    ),
    ("LOC", "MISC"): (
        (
            "The photo of {x} appears on the postcard .",
            "La photo {x:de} figure sur la carte postale .",
            "Das Foto von {x} ist auf der Postkarte zu sehen .",
            "La foto {x:de} aparece en la postal .",
        ),
        (
            "Tourists pay a fortune for the photo of {x} .",
            "Les touristes paient une fortune pour la photo {x:de} .",
            "Touristen zahlen ein Vermögen für das Foto von {x} .",
            "Los turistas pagan una fortuna por la foto {x:de} .",
        ),
    ),
    ("MISC", "ORG"): (
        (
            "Online , investors complain about {x} .",
            "En ligne , les investisseurs se plaignent {x:de} .",
            "Im Netz beschweren sich die Anleger über {x} .",
            "En la red , los inversores se quejan {x:de} .",
        ),
        (
            "The customers no longer believe in {x} .",
            "Les clients ne croient plus {x:à} .",
            "Die Kunden glauben nicht mehr an {x} .",
            "Los clientes ya no creen {x:en} .",
        ),
    ),
    ("MISC", "PER"): (
        (
            "On stage , {x} [deserves|deserve] all the applause .",
            "Sur scène , {x} [mérite|méritent] tous les applaudissements .",
            "Auf der Bühne [verdient|verdienen] {x} den ganzen Beifall .",
            "En el escenario , {x} [merece|merecen] todos los aplausos .",
        ),
        (
            "The fans hung a poster of {x} on the wall .",
            "Les fans ont accroché une affiche {x:de} au mur .",
            "Die Fans hängten ein Plakat von {x} an die Wand .",
            "Los fans colgaron un cartel {x:de} en la pared .",
        ),
    ),
}

# What is said of the mentions after they have been bound to the picture ("On the left X , on the right Y : ...").
COMMENTS: dict[tuple[str, str], tuple[Lines, ...]] = {
    ("LOC", "PER"): (
        (
            "[a memory|two memories] of my childhood",
            "[un souvenir|deux souvenirs] de mon enfance",
            "[eine Erinnerung|zwei Erinnerungen] an meine Kindheit",
            "[un recuerdo|dos recuerdos] de mi infancia",
        ),
        (
            "[a dream|two dreams] of the old sailor",
            "[un rêve|deux rêves] du vieux marin",
            "[ein Traum|zwei Träume] des alten Seemanns",
            "[un sueño|dos sueños] del viejo marinero",
        ),
    ),
    ("ORG", "PER"): (
        (
            "[a name|two names] from the file of the judge",
            "[un nom|deux noms] du dossier du juge",
            "[ein Name|zwei Namen] aus der Akte des Richters",
            "[un nombre|dos nombres] del expediente del juez",
        ),
        (
            "[a case|two cases] for the lawyer",
            "[un dossier|deux dossiers] pour l' avocate",
            "[ein Fall|zwei Fälle] für die Anwältin",
            "[un caso|dos casos] para la abogada",
        ),
    ),
    ("LOC", "ORG"): (
        (
            "[a stop|two stops] on the bus line",
            "[un arrêt|deux arrêts] de la ligne de bus",
            "[eine Haltestelle|zwei Haltestellen] der Buslinie",
            "[una parada|dos paradas] de la línea de autobús",
        ),
        (
            "[a project|two projects] of the mayor",
            "[un projet|deux projets] du maire",
            "[ein Projekt|zwei Projekte] des Bürgermeisters",
            "[un proyecto|dos proyectos] del alcalde",
        ),
    ),
    ("LOC", "MISC"): (
        (
            "[a favourite motif|two favourite motifs] of the painter",
            "[un motif préféré|deux motifs préférés] de la peintre",
            "[ein Lieblingsmotiv|zwei Lieblingsmotive] der Malerin",
            "[un motivo favorito|dos motivos favoritos] de la pintora",
        ),
        (
            "[a postcard|two postcards] for the tourists",
            "[une carte postale|deux cartes postales] pour les touristes",
            "[eine Postkarte|zwei Postkarten] für die Touristen",
            "[una postal|dos postales] para los turistas",
        ),
    ),
    ("MISC", "ORG"): (
        (
            "[a logo|two logos] from the advert",
            "[un logo|deux logos] de la publicité",
            "[ein Logo|zwei Logos] aus der Werbung",
            "[un logotipo|dos logotipos] del anuncio",
        ),
        (
            "[a risk|two risks] for the investors",
            "[un risque|deux risques] pour les investisseurs",
            "[ein Risiko|zwei Risiken] für die Anleger",
            "[un riesgo|dos riesgos] para los inversores",
        ),
    ),
    ("MISC", "PER"): (
        (
            "[a star|two stars] on stage",
            "[une vedette|deux vedettes] sur scène",
            "[ein Star|zwei Stars] auf der Bühne",
            "[una estrella|dos estrellas] en el escenario",
        ),
        (
            "[a favourite|two favourites] of the fans",
            "[un favori|deux favoris] des fans",
            "[ein Liebling|zwei Lieblinge] der Fans",
            "[un favorito|dos favoritos] de los fans",
        ),
    ),
}

TEST_COMMENTS: dict[tuple[str, str], tuple[Lines, ...]] = {
    ("LOC", "PER"): (
        (
            "[a memory|two memories] of the old sailor",
            "[un souvenir|deux souvenirs] du vieux marin",
            "[eine Erinnerung|zwei Erinnerungen] des alten Seemanns",
            "[un recuerdo|dos recuerdos] del viejo marinero",
        ),
    ),
    ("ORG", "PER"): (
        (
            "[a name|two names] from the file of the lawyer",
            "[un nom|deux noms] du dossier de l' avocate",
            "[ein Name|zwei Namen] aus der Akte der Anwältin",
            "[un nombre|dos nombres] del expediente de la abogada",
        ),
    ),
    ("LOC", "ORG"): (
        (
            "[a stop|two stops] on the map of the mayor",
            "[un arrêt|deux arrêts] sur la carte du maire",
            "[eine Haltestelle|zwei Haltestellen] auf der Karte des Bürgermeisters",
            "[una parada|dos paradas] en el mapa del alcalde",
        ),
    ),
    ("LOC", "MISC"): (
        (
            "[a favourite motif|two favourite motifs] of the tourists",
            "[un motif préféré|deux motifs préférés] des touristes",
            "[ein Lieblingsmotiv|zwei Lieblingsmotive] der Touristen",
            "[un motivo favorito|dos motivos favoritos] de los turistas",
        ),
    ),
    ("MISC", "ORG"): (
        (
            "[a risk|two risks] for the customers",
            "[un risque|deux risques] pour les clients",
            "[ein Risiko|zwei Risiken] für die Kunden",
            "[un riesgo|dos riesgos] para los clientes",
        ),
    ),
    ("MISC", "PER"): (
        (
            "[a favourite|two favourites] of the critics",
            "[un favori|deux favoris] des critiques",
            "[ein Liebling|zwei Lieblinge] der Kritiker",
            "[un favorito|dos favoritos] de los críticos",
        ),
    ),
}
