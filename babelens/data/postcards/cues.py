"""How a sentence says which drawn thing a name belongs to: by its side or by its colour, in four languages."""

POSITIONS = ("left", "right")
COLOURS = ("red", "blue", "green", "yellow")

# Beside the name, in the order English, French, German, Spanish: "X on the left", "X in red".
PLACES: dict[str, tuple[str, str, str, str]] = {
    "left": ("on the left", "à gauche", "links", "a la izquierda"),
    "right": ("on the right", "à droite", "rechts", "a la derecha"),
    "red": ("in red", "en rouge", "in Rot", "en rojo"),
    "blue": ("in blue", "en bleu", "in Blau", "en azul"),
    "green": ("in green", "en vert", "in Grün", "en verde"),
    "yellow": ("in yellow", "en jaune", "in Gelb", "en amarillo"),
}

# The thing itself as the subject: "the red figure is X", and the second after it: "the blue one is Y".
FIGURES: dict[str, tuple[str, str, str, str]] = {
    "left": ("the figure on the left", "le dessin de gauche", "die linke Figur", "la figura de la izquierda"),
    "right": ("the figure on the right", "le dessin de droite", "die rechte Figur", "la figura de la derecha"),
    "red": ("the red figure", "le dessin rouge", "die rote Figur", "la figura roja"),
    "blue": ("the blue figure", "le dessin bleu", "die blaue Figur", "la figura azul"),
    "green": ("the green figure", "le dessin vert", "die grüne Figur", "la figura verde"),
    "yellow": ("the yellow figure", "le dessin jaune", "die gelbe Figur", "la figura amarilla"),
}
OTHERS: dict[str, tuple[str, str, str, str]] = {
    "left": ("the one on the left", "celui de gauche", "die linke", "la de la izquierda"),
    "right": ("the one on the right", "celui de droite", "die rechte", "la de la derecha"),
    "red": ("the red one", "le rouge", "die rote", "la roja"),
    "blue": ("the blue one", "le bleu", "die blaue", "la azul"),
    "green": ("the green one", "le vert", "die grüne", "la verde"),
    "yellow": ("the yellow one", "le jaune", "die gelbe", "la amarilla"),
}
IS = ("is", "est", "ist", "es")
LIES = ("is", "est", "ist", "está")
