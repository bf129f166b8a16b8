"""The local web app: look at what was found, name it, merge it, try it. Needs the extra ``app``."""
