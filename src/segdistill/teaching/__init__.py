"""Teaching a run the classes that a person wants: questions, answers, a classifier."""
