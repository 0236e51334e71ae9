"""The features: one file each. Every module here is found through the entry-point group ``hypersdkd``."""
