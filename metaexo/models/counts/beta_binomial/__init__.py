"""Beta-binomial models of events among people, negative binomial models of events per person-time."""
