"""Back ends in virtual time: four servers of language models, a processor, a database's pool."""
