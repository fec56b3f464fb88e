//! May this actor do this to that: keys, roles, stores. Pure but for the chance that keys are made of.
