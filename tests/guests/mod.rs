//! Guests that sites ship: chosen by rule, swapped, signed, with a state of their own.

mod rules;
