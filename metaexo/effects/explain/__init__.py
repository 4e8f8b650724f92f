"""How an effect was computed: formula, numbers put in, source."""
