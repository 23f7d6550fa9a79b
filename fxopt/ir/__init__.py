"""The intermediate representation: Programs, transactions, text form, capture."""
