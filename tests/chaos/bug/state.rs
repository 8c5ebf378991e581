//! Agent states that are saved without comparing, or apart from their turn.

use lcs_tests::chaos::history::{Element, Placed};
use lcs_tests::chaos::replica::{Append, Conversation, Reply};

use super::replica::Buggy;

/// Saves over whatever is there.
pub(super) async fn put_blindly(
    at: &Buggy,
    of: &Conversation,
    element: Element,
    from: u64,
    through_turn: u32,
) -> Reply<u64> {
    let (seen, _) = at.store.state(of.user, of).await?;
    let (_, durability) = at.store.put(of, element, seen.revision, through_turn).await?;
    Ok((from + 1, durability))
}

/// Stores the turn first and then its state, if nothing comes in between.
pub(super) async fn append_in_two_steps(at: &Buggy, of: &Conversation, append: &Append) -> Reply<Placed> {
    let (mut placed, durability) =
        at.store.append(of, &Append { state_from: None, ..append.clone() }).await?;
    if let Some(from) = append.state_from
        && !at.now_and_then(3)
    {
        let turn = placed.turn.unwrap_or_default();
        // Where it has been saved by a try before this one, it is refused now.
        if let Ok((revision, _)) = at.store.put(of, append.element, from, turn).await {
            placed.revision = revision;
        }
    }
    Ok((placed, durability))
}
