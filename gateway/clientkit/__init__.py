"""The client kit: an integrator's client is run against a simulated region that misbehaves, and is told what it did."""
