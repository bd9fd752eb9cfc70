//! Chance that can be had again from its seed.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
};

/// Numbers by chance (the splitmix64 sequence).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `AURORA_FAULTS_SEED`, else any.
    pub fn seed() -> u64 {
        let told = std::env::var("AURORA_FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
        told.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000)
    }

    /// Any number of `range`, which must not be empty.
    pub fn among(&mut self, range: Range<usize>) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        range.start + (mixed % (range.end - range.start).max(1) as u64) as usize
    }

    /// Once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.among(0..times) == 0
    }
}
