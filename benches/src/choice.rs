//! Which row a client takes next, drawn so that a worker in any language draws the same.

use crate::dataset::Sizes;
use crate::payload::VARIANTS;

/// A linear congruential generator of 64 bits.
#[derive(Debug, Clone)]
pub struct Generator(u64);

impl Generator {
    /// A generator that begins with `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number: the upper 31 bits, because the lower ones repeat early.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or_default()
    }
}

/// One client of a run: which it is, and what it draws.
#[derive(Debug, Clone)]
pub struct Client {
    number: u64,
    concurrency: u64,
    operations: u64,
    /// The one conversation of the run, where it has one.
    conversation: Option<u64>,
    sizes: Sizes,
    generator: Generator,
}

impl Client {
    /// Client `number` of `concurrency` in the run of this seed.
    #[must_use]
    pub fn new(number: u64, concurrency: u64, seed: u64, conversation: Option<u64>, sizes: Sizes) -> Self {
        let generator = Generator::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        Self { number, concurrency, operations: 0, conversation, sizes, generator }
    }

    /// An operation is over.
    pub const fn advance(&mut self) {
        self.operations += 1;
    }

    /// The conversation to append to: no two clients ever take the same one.
    pub fn hot(&mut self) -> u64 {
        self.conversation.unwrap_or_else(|| {
            let each = self.sizes.hot / self.concurrency.max(1);
            1 + self.number + self.concurrency * self.generator.below(each)
        })
    }

    /// The conversation to read the history of.
    pub fn history(&mut self) -> u64 {
        self.conversation.unwrap_or_else(|| self.sizes.hot + 1 + self.generator.below(self.sizes.history))
    }

    /// Any of the conversations with an agent state.
    pub fn any_hot(&mut self) -> u64 {
        1 + self.generator.below(self.sizes.hot)
    }

    /// Any user.
    pub fn user(&mut self) -> u64 {
        1 + self.generator.below(self.sizes.users)
    }

    /// Which payload the next operation stores.
    #[must_use]
    pub const fn variant(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        let variant = ((self.number * 7 + self.operations) % VARIANTS as u64) as usize;
        variant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_draws_what_the_other_languages_draw() {
        let mut generator = Generator::new(1_000_003 + 3);
        assert_eq!([(); 3].map(|()| generator.draw()), [1_426_371_889, 495_076_120, 2_007_635_105]);
    }

    #[test]
    fn clients_never_share_a_conversation() {
        let sizes = Sizes::default();
        for number in 0..8 {
            let mut client = Client::new(number, 8, 1, None, sizes);
            for _ in 0..1_000 {
                let hot = client.hot();
                assert!((1..=sizes.hot).contains(&hot));
                assert_eq!(hot % 8, (number + 1) % 8);
            }
        }
    }

    #[test]
    fn a_run_on_one_conversation_stays_there() {
        let mut client = Client::new(3, 8, 1, Some(1_001_000), Sizes::default());
        assert_eq!((client.hot(), client.history()), (1_001_000, 1_001_000));
    }
}
