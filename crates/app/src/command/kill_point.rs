//! For tests: the process ends behind a step that the environment names, as by a kill.

use lcs_app::PersistenceManagerBuilder;

/// Behind an archive's step of this name (`LCS_TEST_KILL_BEHIND`), or behind the so-manieth step of archives and
/// erasures (`LCS_TEST_KILL_AT`), whose name it says then.
#[cfg(feature = "kill-points")]
pub(super) fn killed_where_asked(builder: PersistenceManagerBuilder) -> PersistenceManagerBuilder {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use lcs_app::archive::step::{Observer, Step};
    use lcs_app::erasure_service::step;

    let behind: Option<Step> = std::env::var("LCS_TEST_KILL_BEHIND").ok().and_then(|step| step.parse().ok());
    let at: Option<u64> = std::env::var("LCS_TEST_KILL_AT").ok().and_then(|number| number.parse().ok());
    if behind.is_none() && at.is_none() {
        return builder;
    }
    let steps = AtomicU64::new(0);
    let count = Arc::new(move |name: &str| {
        if at == Some(steps.fetch_add(1, Ordering::SeqCst) + 1) {
            crate::output::note(&format!("killed behind {name}"));
            std::process::abort();
        }
    });
    let counted = Arc::clone(&count);
    let archives = Observer::new(move |done| {
        if behind == Some(done) {
            std::process::abort();
        }
        counted(&format!("the archive's {done}"));
    });
    let erasures = step::Observer::new(move |done| count(&format!("the erasure's {done}")));
    builder.archive_observer(archives).erasure_observer(erasures)
}

#[cfg(not(feature = "kill-points"))]
pub(super) fn killed_where_asked(builder: PersistenceManagerBuilder) -> PersistenceManagerBuilder {
    builder
}
