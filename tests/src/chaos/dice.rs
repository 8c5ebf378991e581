//! Random numbers that a seed tells again.

/// A sequence of numbers (splitmix64): the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for part `number` of what this seed decides.
    #[must_use]
    pub fn part(seed: u64, number: u64) -> Self {
        Self(Self(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93)).word())
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to `end`, which is not among them; 0 where `end` is.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end.max(1)
    }

    /// A number of milliseconds from `from` to `to`.
    pub fn milliseconds(&mut self, from: u64, to: u64) -> std::time::Duration {
        std::time::Duration::from_millis(from + self.below(to - from + 1))
    }

    /// Whether one of a hundred dice that has `percent` winning sides wins.
    pub fn wins(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Puts `things` in another order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for end in (1..things.len()).rev() {
            things.swap(end, usize::try_from(self.below(end as u64 + 1)).unwrap_or(end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_the_same_again_and_its_parts_differ() {
        let words = |mut dice: Dice| [dice.word(), dice.word(), dice.word()];
        assert_eq!(words(Dice::new(7)), words(Dice::new(7)));
        assert_ne!(words(Dice::part(7, 0)), words(Dice::part(7, 1)));
        let mut things: Vec<u8> = (0..20).collect();
        Dice::new(1).shuffle(&mut things);
        assert!(!things.is_sorted());
        things.sort_unstable();
        assert_eq!(things, (0..20).collect::<Vec<u8>>());
    }
}
