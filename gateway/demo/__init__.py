"""The simulated region behind `gateway demo`: organizations with their own ports and real protocols."""
