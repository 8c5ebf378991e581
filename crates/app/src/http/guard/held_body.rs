//! A body that keeps something until it is sent, or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tracing::Span;

/// Keeps `held` as long as the body is there; what making the body logs belongs to `span`.
pub(super) struct HeldBody<T> {
    body: Body,
    span: Span,
    _held: T,
}

impl<T: Send + Unpin + 'static> HeldBody<T> {
    pub(super) fn wrap(body: Body, span: Span, held: T) -> Body {
        Body::new(Self { body, span, _held: held })
    }
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
