//! Erasures that have not ended, and what of others they are of.

use lcs_domain::{ErasureId, ErasureTarget};

use super::Harness;
use super::erasure::{of, of_user};
use super::fixture::Client;

async fn unfinished(client: &Client, target: ErasureTarget) -> Vec<ErasureId> {
    let found = client.store.erasures().unfinished_erasures(target).await.expect("erasures");
    found.into_iter().map(|erasure| erasure.erasure_id).collect()
}

/// An erasure of a user and one of a conversation of theirs know of each other until they end, before the rows are gone
/// and behind that; those of other conversations and of others do not.
pub async fn an_erasure_knows_of_those_that_share_something_with_it(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let stranger = client.somebody_else();
    let (one, _) = client.lived().await;
    let (other, _) = client.lived().await;
    let (theirs, _) = stranger.lived().await;
    let of_one = ErasureTarget::Conversation(one.conversation_id);
    let of_other = ErasureTarget::Conversation(other.conversation_id);
    let of_theirs = ErasureTarget::Conversation(theirs.conversation_id);
    let targets = [of_user(&client), of_one, of_other, of_user(&stranger), of_theirs];
    for target in targets {
        assert_eq!(unfinished(&client, target).await, [], "nothing is begun: {target:?}");
    }
    let first = client.begin_erasure(&of(of_one)).await.expect("it is begun");
    let expected = [vec![first.erasure_id], vec![first.erasure_id], vec![], vec![], vec![]];
    for (target, expected) in targets.into_iter().zip(&expected) {
        assert_eq!(&unfinished(&client, target).await, expected, "the rows are there: {target:?}");
    }
    while client.erase_some(&first, 200).await.expect("rows go").has_more {}
    for (target, expected) in targets.into_iter().zip(&expected) {
        assert_eq!(&unfinished(&client, target).await, expected, "the rows are gone: {target:?}");
    }

    let whole = client.begin_erasure(&of(of_user(&client))).await.expect("it is begun");
    while client.erase_some(&whole, 200).await.expect("rows go").has_more {}
    let sorted = async |target| {
        let mut found = unfinished(&client, target).await;
        found.sort_unstable();
        found
    };
    let mut both = vec![first.erasure_id, whole.erasure_id];
    both.sort_unstable();
    for target in [of_user(&client), of_one] {
        assert_eq!(sorted(target).await, both, "{target:?}");
    }
    assert_eq!(unfinished(&client, of_other).await, [whole.erasure_id], "it is the user's");
    for target in [of_user(&stranger), of_theirs] {
        assert_eq!(unfinished(&client, target).await, [], "{target:?}");
    }
    client.end(&first).await.expect("it ends");
    for target in [of_user(&client), of_one, of_other] {
        assert_eq!(unfinished(&client, target).await, [whole.erasure_id], "{target:?}");
    }
    client.end(&whole).await.expect("it ends");
    assert_eq!(unfinished(&client, of_user(&client)).await, []);
    client.assert_sound().await;
}
