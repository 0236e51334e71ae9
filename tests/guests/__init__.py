"""Real guests, made on this machine as VMware would have left them, and kept by what they are made of."""
