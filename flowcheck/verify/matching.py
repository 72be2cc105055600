"""stub"""


def match_forward(functions, arguments, y, cells):
    return None
