//! A random history against the store under test equals the same history against the memory model.
//!
//! A failure prints the shortest history that it was shrunk to, and a seed: set `LCS_CONFORMANCE_SEED` to
//! it to run the very same histories again.

mod command;
mod run;

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::command::Command;
use super::Harness;

/// The environment variable that names the seed to run.
const SEED: &str = "LCS_CONFORMANCE_SEED";
const HISTORIES: usize = 30;
const LONGEST: usize = 100;
/// How often a failing history is made shorter at most.
const SHRINKS: usize = 1_000;

/// Random histories of two users give the same answers, step by step, as the memory model does.
pub async fn a_random_history_equals_the_memory_model(harness: &dyn Harness) {
    let seed = seed();
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let histories = vec(command::command(), 1..LONGEST);
    for number in 1..=HISTORIES {
        let mut tree = histories.new_tree(&mut runner).expect("a history");
        let Err(mut difference) = run::equals_the_model(harness, &tree.current()).await else {
            continue;
        };
        let mut shortest: Vec<Command> = tree.current();
        let mut shrunk = tree.simplify();
        for _ in 0..SHRINKS {
            if !shrunk {
                break;
            }
            shrunk = match run::equals_the_model(harness, &tree.current()).await {
                Ok(()) => tree.complicate(),
                Err(found) => {
                    (difference, shortest) = (found, tree.current());
                    tree.simplify()
                }
            };
        }
        panic!("history {number} of {SEED}={seed:032x} differs from the model\n{shortest:#?}\n{difference}");
    }
}

/// The seed that the environment names, or a new one.
fn seed() -> u128 {
    match std::env::var(SEED) {
        Ok(text) => u128::from_str_radix(text.trim(), 16).expect("a seed is a number in base 16"),
        // A new id is random enough, in its lower half at least.
        Err(_) => lcs_domain::TurnId::generate().as_uuid().as_u128(),
    }
}
