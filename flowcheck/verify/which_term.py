"""stub"""


def name_terms(outcome, match, seeds):
    return None
