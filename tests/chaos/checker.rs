//! Histories written by hand: one with each anomaly, and one that nearly has it.
