"""The grammar of the language as package data; read it with `importlib.resources.files("repc.grammar")`."""
