//! Every setting, its default and its consequence; all faults at once.
