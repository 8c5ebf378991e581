//! Who is told of the steps between which everything may end: of archives' (`archive::step`) and of erasures'
//! (`erasure_service::step`).

use std::fmt;
use std::sync::Arc;

/// Who is told of each step, when it is done.
pub struct Observer<Step>(Option<Arc<dyn Fn(Step) + Send + Sync>>);

impl<Step: fmt::Display> Observer<Step> {
    /// Tells `observer`.
    #[must_use]
    pub fn new(observer: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    pub(crate) fn done(&self, step: Step) {
        tracing::debug!(%step, "a step is done");
        if let Some(observer) = &self.0 {
            observer(step);
        }
    }
}

impl<Step> Clone for Observer<Step> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Nobody is told.
impl<Step> Default for Observer<Step> {
    fn default() -> Self {
        Self(None)
    }
}

impl<Step> fmt::Debug for Observer<Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}
