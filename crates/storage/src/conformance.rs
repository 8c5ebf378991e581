//! The suite that a store passes, and a decorator over one, before it is done.
//!
//! It is generic over the ports: an author writes a [`Harness`] that opens handles on an empty store of
//! theirs, and stamps the suite with [`conformance_suite!`](crate::conformance_suite).
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use async_trait::async_trait;
//! use lcs_domain::{ConversationId, Durability, Repositories, RequestId, SystemClock};
//! use lcs_storage::conformance::Harness;
//! use lcs_storage::memory::Memory;
//!
//! struct MemoryHarness(Arc<Memory>);
//!
//! #[async_trait]
//! impl Harness for MemoryHarness {
//!     async fn open(&self) -> Arc<dyn Repositories> {
//!         self.0.clone()
//!     }
//!
//!     async fn age(&self, conversation: ConversationId, by: Duration) {
//!         self.0.age(conversation, by);
//!     }
//!
//!     async fn age_request(&self, request: RequestId, by: Duration) {
//!         self.0.age_request(request, by);
//!     }
//!
//!     fn durability(&self) -> Durability {
//!         Durability::Volatile
//!     }
//! }
//!
//! lcs_storage::conformance_suite!(MemoryHarness(Arc::new(Memory::new(Arc::new(SystemClock)))));
//! ```
//!
//! The files are named after the promises and the entities, and each test says in its name and its first
//! sentence what is promised.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "these are tests: a failure is a panic that says what was expected"
)]

pub mod adopt;
pub mod agent_state;
pub mod analytics;
pub mod archive;
pub mod audit;
pub mod browse;
pub mod conversation;
pub mod diagnostic;
pub mod erasure;
mod fixture;
pub mod held_archive;
pub mod hold;
pub mod late_beginning;
pub mod model;
pub mod p10_bad_input;
pub mod p1_exactly_once;
pub mod p2_total_order;
pub mod p3_stable_past;
pub mod p4_no_lost_update;
pub mod p6_deleted;
pub mod p7_retention;
pub mod p9_isolation;
pub mod page;
pub mod payload;
pub mod request;
pub mod restoration;
pub mod retention;
pub mod search;
pub mod summary;
pub mod transfer;
pub mod turn;
pub mod unfinished_erasure;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId};

/// A store under test, empty when a test begins, with nobody else at it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Another handle on the same store: a pool of its own where the store has pools.
    ///
    /// The store's clock must run: the suite waits for it to go on.
    async fn open(&self) -> Arc<dyn Repositories>;

    /// Moves the time of the conversation's last change back by exactly `by`, behind the ports, as if it
    /// had been idle that much longer. Does nothing where there is no such conversation.
    async fn age(&self, conversation: ConversationId, by: Duration);

    /// Moves the end of the request's lease back by exactly `by`, behind the ports. Does nothing where there is
    /// no such request, or it is answered.
    async fn age_request(&self, request: RequestId, by: Duration);

    /// What every answer of the store must say of its durability.
    fn durability(&self) -> Durability;
}

/// Runs a test of the suite to its end, on two threads.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime starts").block_on(test);
}

/// Stamps the suite: one test for each function, each on a harness of its own.
///
/// The argument is an expression that makes a [`Harness`](crate::conformance::Harness); it may await, and
/// is evaluated anew for each test. Write the macro in a module of its own for each store.
#[macro_export]
macro_rules! conformance_suite {
    ($harness:expr) => {
        $crate::conformance_tests! { $harness;
            conversation {
                what_is_created_is_read_back
                create_again_answers_with_the_conversation_as_it_is
                create_with_an_id_in_use_is_refused
                the_same_create_at_once_makes_one_conversation
                create_at_once_with_one_id_makes_one_conversation
                an_external_id_is_unique_for_its_user_only
                an_update_changes_what_it_says
                an_empty_update_changes_nothing
                an_update_of_nothing_is_refused
                updates_of_different_fields_at_once_are_kept
                the_head_agrees_with_the_conversation
                a_list_is_of_one_status_or_of_all_but_the_deleted
            }
            turn {
                what_is_appended_is_read_back
                a_turn_is_found_by_its_id
                times_are_kept_to_the_microsecond
                an_append_is_refused_for_the_first_reason
                an_archived_conversation_is_read_only
                an_append_is_activity_and_a_replay_is_not
            }
            agent_state {
                what_is_saved_is_read_back
                a_state_goes_with_its_turn
                p5_a_save_covers_only_the_turns_that_it_has_seen
                saving_and_deleting_are_activity
                a_state_is_deleted_once
                an_archived_conversation_keeps_its_state
                a_save_is_refused_for_the_first_reason
            }
            page {
                pages_of_every_size_make_the_list
                equal_times_are_ordered_by_id
                pages_are_complete_while_rows_are_inserted
                a_cursor_outlives_its_conversation
                activity_moves_to_the_front
                a_filtered_list_has_pages_too
                turn_pages_show_what_stands_there
            }
            payload {
                every_document_comes_back_as_it_was
                four_mebibytes_come_back_as_they_were
                a_state_may_change_its_form
                texts_and_metadata_come_back_as_they_were
            }
            adopt {
                what_is_adopted_is_read_back
                what_is_there_is_given_back_as_it_is
                p1_of_many_who_adopt_at_once_one_does_and_all_get_it
                p6_what_was_deleted_is_not_adopted
                a_conversation_is_adopted_whole_or_not_at_all
            }
            summary {
                what_is_there_is_summarised
                a_list_is_whole_or_in_pages
                a_list_is_of_one_snapshot
                a_list_that_is_left_holds_nothing_back
            }
            search {
                what_was_said_is_found_by_its_words
                a_phrase_is_found_word_for_word
                a_search_finds_what_its_user_has
                what_is_found_comes_in_pages
                what_was_just_stored_is_found
            }
            transfer {
                what_is_exported_is_imported_as_it_was
                p1_an_import_sent_twice_stores_once
                what_has_gone_on_stays_as_it_is
                what_is_another_conversation_here_is_refused
                p6_what_was_deleted_is_not_imported
                p10_what_no_store_can_have_held_is_refused
                a_long_conversation_is_imported_whole_or_not_at_all
                an_export_takes_what_the_filter_says
                an_export_is_of_one_snapshot
                an_export_that_is_left_holds_nothing_back
                an_import_counts_as_no_activity_before_its_time
            }
            request {
                p1_of_many_attempts_at_once_one_is_started
                p1_of_many_that_take_over_at_once_one_is_started
                p1_a_retry_is_told_what_became_of_the_first
                p1_a_key_used_for_another_request_is_refused
                p1_a_request_sent_twice_is_started_twice
                p1_an_attempt_whose_lease_ran_out_is_taken_over
                a_request_without_a_key_is_forgotten_when_it_is_finished
                an_abandoned_request_begins_anew
                a_request_is_interrupted_while_it_is_answered
                a_lease_is_renewed_and_says_who_is_interrupted
                p9_another_users_request_is_an_absent_one
                p10_a_key_that_cannot_be_kept_is_refused
            }
            audit {
                what_is_recorded_is_read_back
                a_page_is_of_what_is_asked_for
                all_who_record_at_once_make_one_chain
                a_delete_is_recorded_once
                a_purge_is_recorded_with_what_it_removed
                a_break_is_told_by_its_place
            }
            archive {
                what_may_expire_is_due
                p7_what_has_changed_since_it_was_read_is_not_removed
                nothing_is_removed_under_an_archive_that_is_closed
                one_archiver_is_told_of_another
                an_archive_takes_anothers_place
                a_users_conversations_leave_the_archives
                many_conversations_leave_the_archives_at_once
            }
            held_archive {
                what_a_hold_keeps_stays_when_another_is_erased_from_its_archive
                what_a_hold_keeps_stays_when_another_comes_back_from_its_archive
                what_a_hold_keeps_stays_when_its_archive_is_closed
            }
            restoration {
                what_is_archived_comes_back_as_it_was
                what_was_restored_is_not_due_again_at_once
                p6_only_what_is_archived_comes_back
                a_restore_is_whole_or_not_at_all
                a_long_conversation_comes_back_turn_by_turn
                a_restore_racing_an_erasure_does_not_undo_it
                p1_restored_twice_at_once_it_is_stored_once
            }
            hold {
                what_is_held_is_kept_until_it_is_released
                the_last_hold_keeps_it
                a_delete_under_a_hold_hides_and_keeps
                a_hold_is_placed_and_released_once
                a_hold_needs_what_it_is_on_and_a_reason
                holds_are_listed
                holds_are_recorded
                what_is_archived_is_held_with_its_user
                a_hold_behind_the_last_batch_keeps_what_is_archived
                a_hold_racing_a_purge_is_kept_or_refused
            }
            erasure {
                all_that_is_a_users_goes_and_nothing_of_others
                a_conversation_goes_alone
                p6_nothing_brings_back_what_is_erased
                what_is_held_is_not_erased
                a_hold_stops_an_erasure_in_the_middle
                an_erasure_is_gone_on_with_and_counted_once
                erasing_again_finds_nothing_and_knows_of_the_first
                an_erasure_is_recorded_without_its_user
                a_hold_racing_an_erasure_is_kept_or_refused
                an_append_racing_an_erasure_is_counted_or_refused
                archives_that_held_something_are_noted
            }
            unfinished_erasure {
                an_erasure_knows_of_those_that_share_something_with_it
            }
            late_beginning {
                p6_what_comes_late_is_not_begun_where_it_was_erased_since
                what_comes_late_while_its_user_is_erased_is_not_there_afterwards
                p6_an_import_that_was_begun_before_an_erasure_brings_nothing_back
                what_is_imported_while_its_user_is_erased_is_not_there_afterwards
                what_is_imported_turn_by_turn_while_its_user_is_erased_is_not_there_afterwards
            }
            browse {
                all_conversations_are_found_newest_first
                what_is_looked_for_is_found_and_nothing_else
                a_conversation_is_read_whatever_its_status
                what_is_left_of_a_purged_one_is_told
                an_operators_delete_is_the_users_and_names_him
            }
            retention {
                each_status_has_its_own_limit
                a_users_own_retention_goes_before_the_policy
                p7_a_wake_up_counts_under_a_users_own_retention
                own_retention_is_listed_and_recorded
                what_keeps_a_conversation_is_told
            }
            diagnostic {
                a_healthy_store_finds_nothing_wrong
                a_diagnosis_changes_nothing
                capabilities_say_how_durable_it_is
                a_pool_keeps_its_size
            }
            analytics {
                an_empty_store_has_figures_of_nothing
                the_figures_are_those_of_the_rows
                a_forecast_says_what_will_be_due
                looking_at_figures_changes_nothing
                a_databases_status_adds_up
            }
            p1_exactly_once {
                the_same_turn_five_times_at_once_is_one_turn
                one_turn_id_with_five_contents_at_once_is_one_turn
                a_replay_is_answered_whatever_else_it_says
                the_same_content_is_the_same_turn
                a_turn_belongs_to_one_conversation
                a_turn_sent_to_several_conversations_at_once_is_one_turn
                a_refused_turn_can_be_sent_again
            }
            p2_total_order {
                a_thousand_appends_at_once_are_numbered_without_gaps
                an_expected_count_lets_one_writer_through
                refused_appends_leave_no_gaps
                order_is_that_of_storing_not_of_clocks
            }
            p3_stable_past {
                a_poller_never_sees_the_past_change
                what_is_acknowledged_is_read_everywhere
                nothing_rewrites_a_turn
            }
            p4_no_lost_update {
                of_fifty_saves_from_one_revision_one_wins
                fifty_writers_count_to_fifty
                a_stale_revision_refuses_turn_and_state
                a_revision_is_never_given_twice
                a_save_racing_a_delete_is_made_from_what_is_there
                an_update_made_from_an_older_time_is_refused
                of_updates_from_one_time_at_once_one_wins
            }
            p6_deleted {
                deleted_stays_deleted
                purged_stays_purged
                what_was_deleted_is_known
                an_external_id_is_free_after_the_purge
                deletes_at_once_delete_once
                a_write_racing_a_delete_never_brings_back
                a_write_racing_a_purge_wakes_up_or_is_refused
            }
            p7_retention {
                what_is_idle_or_deleted_is_purged
                the_deleted_are_purged_whatever_their_age
                a_conversation_that_wakes_up_is_kept
                reading_does_not_wake_up
                a_purge_takes_turns_and_state_along
                a_batch_has_its_limit
                two_cleaners_share_the_work
                all_who_keep_a_pace_share_it
                a_purge_takes_its_users_requests_along
                what_a_crash_left_of_requests_is_purged
            }
            p9_isolation {
                a_foreign_conversation_is_an_absent_one
                a_list_shows_its_users_only
                anothers_agent_is_an_absent_one
            }
            p10_bad_input {
                what_cannot_be_kept_is_refused
                too_deep_and_too_large_are_refused
                metadata_and_texts_refuse_nul
                a_text_of_another_kind_is_refused
                times_and_sizes_out_of_range_are_refused
                a_made_up_cursor_is_a_place_or_refused
                numbers_past_the_columns_are_no_failure
            }
            model {
                a_random_history_equals_the_memory_model
            }
        }
    };
}

/// Writes the modules and tests of [`conformance_suite!`](crate::conformance_suite).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr; $($file:ident { $($test:ident)* })*) => {
        $(
            mod $file {
                use super::*;

                $(
                    #[test]
                    fn $test() {
                        $crate::conformance::run(async {
                            $crate::conformance::$file::$test(&$harness).await;
                        });
                    }
                )*
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    /// A test that is not in the list of [`conformance_suite!`](crate::conformance_suite) runs nowhere.
    #[test]
    fn every_test_is_stamped() {
        let files = [
            ("adopt", include_str!("conformance/adopt.rs")),
            ("agent_state", include_str!("conformance/agent_state.rs")),
            ("archive", include_str!("conformance/archive.rs")),
            ("audit", include_str!("conformance/audit.rs")),
            ("analytics", include_str!("conformance/analytics.rs")),
            ("browse", include_str!("conformance/browse.rs")),
            ("conversation", include_str!("conformance/conversation.rs")),
            ("diagnostic", include_str!("conformance/diagnostic.rs")),
            ("erasure", include_str!("conformance/erasure.rs")),
            ("held_archive", include_str!("conformance/held_archive.rs")),
            ("hold", include_str!("conformance/hold.rs")),
            ("late_beginning", include_str!("conformance/late_beginning.rs")),
            ("model", include_str!("conformance/model.rs")),
            ("p10_bad_input", include_str!("conformance/p10_bad_input.rs")),
            ("p1_exactly_once", include_str!("conformance/p1_exactly_once.rs")),
            ("p2_total_order", include_str!("conformance/p2_total_order.rs")),
            ("p3_stable_past", include_str!("conformance/p3_stable_past.rs")),
            ("p4_no_lost_update", include_str!("conformance/p4_no_lost_update.rs")),
            ("p6_deleted", include_str!("conformance/p6_deleted.rs")),
            ("p7_retention", include_str!("conformance/p7_retention.rs")),
            ("p9_isolation", include_str!("conformance/p9_isolation.rs")),
            ("page", include_str!("conformance/page.rs")),
            ("payload", include_str!("conformance/payload.rs")),
            ("request", include_str!("conformance/request.rs")),
            ("restoration", include_str!("conformance/restoration.rs")),
            ("retention", include_str!("conformance/retention.rs")),
            ("search", include_str!("conformance/search.rs")),
            ("summary", include_str!("conformance/summary.rs")),
            ("transfer", include_str!("conformance/transfer.rs")),
            ("turn", include_str!("conformance/turn.rs")),
            ("unfinished_erasure", include_str!("conformance/unfinished_erasure.rs")),
        ];
        let list = include_str!("conformance.rs");
        let declared = list.lines().filter(|line| line.starts_with("pub mod ")).count();
        assert_eq!(declared, files.len(), "each public file is looked at");
        for (file, source) in files {
            for line in source.lines() {
                if let Some(name) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next())
                {
                    let stamped = list.lines().any(|line| line.trim() == name);
                    assert!(stamped, "{file}::{name} is in the list");
                }
            }
        }
    }
}
