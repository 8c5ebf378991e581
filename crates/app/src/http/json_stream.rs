//! JSON answers that are written while they are read: a long list is never in memory as a whole.

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use lcs_domain::RepositoryError;
use serde::Serialize;

/// `head`, the items of all batches with commas between them, and `tail`.
///
/// An error in the middle ends the answer without its end: a client sees that it is cut off, and cannot
/// take it for the whole (P8).
pub(super) fn json_stream<T: Serialize + Send>(
    head: String,
    batches: impl Stream<Item = Result<Vec<T>, RepositoryError>> + Send,
    tail: String,
) -> impl Stream<Item = Result<Bytes, RepositoryError>> + Send {
    let mut is_first = true;
    let items = batches.and_then(move |batch| {
        let json = batch.iter().try_fold(Vec::new(), |mut json, item| {
            if !std::mem::take(&mut is_first) {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, item).map(|()| json)
        });
        let json = json.map_err(|error| RepositoryError::Backend {
            reason: "an answer cannot be written".to_owned(),
            source: Some(error.into()),
        });
        std::future::ready(json.map(Bytes::from))
    });
    let logged = items.inspect_err(|error| tracing::warn!(error = %error, "an answer is cut off"));
    stream::iter([Ok(Bytes::from(head))]).chain(logged).chain(stream::iter([Ok(Bytes::from(tail))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(batches: Vec<Result<Vec<u32>, RepositoryError>>) -> (String, bool) {
        let mut json = String::new();
        let mut stream = std::pin::pin!(json_stream("[".into(), stream::iter(batches), "]".into()));
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => json.push_str(std::str::from_utf8(&chunk).unwrap()),
                Err(_) => return (json, false),
            }
        }
        (json, true)
    }

    #[tokio::test]
    async fn batches_become_one_list() {
        assert_eq!(written(vec![]).await, ("[]".into(), true));
        assert_eq!(written(vec![Ok(vec![1, 2]), Ok(vec![]), Ok(vec![3])]).await, ("[1,2,3]".into(), true));
    }

    #[tokio::test]
    async fn p8_an_error_in_the_middle_is_never_the_end_of_a_list() {
        let cut = written(vec![Ok(vec![1]), Err(RepositoryError::unavailable("gone"))]).await;
        assert_eq!(cut, ("[1".into(), false));
    }
}
