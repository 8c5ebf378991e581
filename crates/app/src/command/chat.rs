//! `chat`: one turn, or a conversation line by line.

use std::io::{self, BufRead, IsTerminal};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use lcs_app::agent_manager::{AgentManagerError, TurnAnswer, TurnRequest};
use lcs_app::configuration::{ModelConfiguration, StoreConfiguration};
use lcs_app::{PersistenceManager, PersistentAgentManager, echo};
use lcs_domain::agent::AgentRuntime;
use lcs_domain::{ConversationId, Durability, Payload, PayloadLimits, RepositoryError, Text, TurnId, UserId};
use serde::Serialize;
use tokio::sync::mpsc;

use super::message::Unsaid;
use super::stop::Stop;
use super::{Context, User, beginner, message};
use crate::output::{Output, note, text};

const HELP: &str = "Say anything. /quit or Ctrl-D ends, /help shows this. The conversation is kept.";
const NOT_TEXT: &str = "what was said is not UTF-8 text";

#[derive(Args)]
pub(super) struct Chat {
    /// Say this, print the answer and end.
    #[arg(long, value_name = "TEXT", value_parser = not_blank)]
    once: Option<String>,
    /// Go on with this conversation, instead of a new one.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    #[command(flatten)]
    user: User,
}

/// A turn as `--json` prints it.
#[derive(Serialize)]
struct Answer {
    conversation_id: ConversationId,
    turn_number: Option<u32>,
    response: String,
    durability: Durability,
}

impl Chat {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let user_id = beginner(&self.user.user)?;
        let Context { configuration, output, again, .. } = context;
        let limits = configuration.payload_limits;
        let partner = match &configuration.model {
            ModelConfiguration::Echo => "the built-in echo agent".to_owned(),
            ModelConfiguration::Responses(config) => config.model.clone(),
        };
        let stays = !matches!(configuration.store, StoreConfiguration::Memory);
        // Before anything is opened: from here on a turn that has begun is finished.
        let mut stop = Stop::listen();
        let manager = unless_stopped(&mut stop, PersistenceManager::initialize(configuration)).await??;
        let mut session = Session {
            agents: manager.agent_manager().clone(),
            runtime: manager.runtime().clone(),
            partner,
            user_id,
            conversation_id: self.conversation,
            is_stored: false,
            limits,
            output,
            stop,
        };
        let ended = session.run(self.once).await;
        // Also where it went wrong: what was said before is still there.
        if let Some(conversation_id) = session.conversation_id
            && session.is_stored
            && stays
            && !session.output.is_json()
        {
            let command =
                again.command(&format!("chat --conversation {conversation_id}{}", self.user.option()));
            note(&format!("Go on with: {command}"));
        }
        ended.map(|()| ExitCode::SUCCESS)
    }
}

/// Whether the conversation goes on after a turn.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    End,
}

struct Session {
    agents: PersistentAgentManager,
    runtime: Arc<dyn AgentRuntime>,
    /// Whom a person is told to be talking to.
    partner: String,
    user_id: UserId,
    /// `None` until the first turn of a new conversation: one without any turn is never made.
    conversation_id: Option<ConversationId>,
    /// Whether the conversation is known to be there another time.
    is_stored: bool,
    limits: PayloadLimits,
    output: Output,
    stop: Stop,
}

impl Session {
    async fn run(&mut self, once: Option<String>) -> Result<()> {
        if self.conversation_id.is_some() {
            self.agent().await?;
            self.is_stored = true;
        }
        let Some(text) = once else { return self.converse().await };
        let said = message::said(&text, self.limits)?;
        self.turn(said).await?;
        Ok(())
    }

    /// Reads lines and answers them until they end, or until the process is asked to.
    async fn converse(&mut self) -> Result<()> {
        let person = io::stdin().is_terminal() && io::stdout().is_terminal() && !self.output.is_json();
        if person {
            note(&format!("You are talking to {}. {HELP}", text::lines(&self.partner)));
        }
        let mut lines = lines();
        loop {
            if person {
                self.output.prompt("> ")?;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                () = self.stop.requested() => None,
            };
            let Some(line) = line.transpose()? else {
                // The prompt's line is still open.
                return if person { Ok(self.output.line("")?) } else { Ok(()) };
            };
            let line = match String::from_utf8(line) {
                Ok(line) => line,
                Err(_) if person => {
                    note(&format!("error: {NOT_TEXT}"));
                    continue;
                }
                Err(_) => bail!(NOT_TEXT),
            };
            match line.trim() {
                "" => {}
                "/quit" | "/exit" => return Ok(()),
                "/help" => note(HELP),
                _ => match self.say(&line).await {
                    Ok(Next::Line) => {}
                    Ok(Next::End) => return Ok(()),
                    // A person can say it again; a program that goes on would not notice.
                    Err(error) if person && can_be_said_again(&error) => {
                        note(&format!("error: {}", super::sentence(&error)));
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Says a line. One that cannot be said is [`Unsaid`]: nothing has happened yet.
    async fn say(&mut self, line: &str) -> Result<Next> {
        let said = message::said(line, self.limits)?;
        self.turn(said).await
    }

    /// Has `input_messages` answered, and prints the answer once it is stored.
    async fn turn(&mut self, input_messages: Payload) -> Result<Next> {
        let conversation_id = self.agent().await?;
        let turn_id = TurnId::generate();
        let request = TurnRequest::new(turn_id, input_messages);
        let turn = self.agents.respond(self.user_id, conversation_id, request);
        let (answer, next) = finished(turn, turn_id, &mut self.stop).await?;
        match answer {
            Ok(answer) => {
                self.is_stored |= answer.durability == Durability::Durable;
                self.print(&answer).map_err(|error| unprinted(error, &answer))?;
            }
            Err(error) => {
                // What the agent said is not lost with its turn.
                if let AgentManagerError::NotStored { answer, .. } = &error {
                    note(&text::lines(&message::text(answer)));
                }
                return Err(error.into());
            }
        }
        Ok(next)
    }

    /// The conversation, with its agent ready: a new one where there is none yet.
    async fn agent(&mut self) -> Result<ConversationId> {
        let (agents, runtime) = (self.agents.clone(), self.runtime.clone());
        let (user_id, conversation_id) = (self.user_id, self.conversation_id);
        let ready = async move {
            // A conversation that is there has its own.
            let model_id = match conversation_id {
                Some(_) => Text::name(echo::MODEL, "/model_id")?,
                None => first_model(&*runtime).await?,
            };
            anyhow::Ok(agents.get_or_create_agent(user_id, conversation_id, model_id, None).await?)
        };
        let agent = unless_stopped(&mut self.stop, ready).await??;
        self.conversation_id = Some(agent.conversation_id);
        Ok(agent.conversation_id)
    }

    fn print(&mut self, answer: &TurnAnswer) -> io::Result<()> {
        let response = message::text(&answer.output_message);
        if self.output.is_json() {
            return self.output.json(&Answer {
                conversation_id: answer.conversation_id,
                turn_number: answer.turn_number,
                response,
                durability: answer.durability,
            });
        }
        self.output.line(&text::lines(&response))?;
        if answer.durability != Durability::Durable {
            note(&format!("this turn is {}: it is not in the database", answer.durability));
        }
        Ok(())
    }
}

/// The model that a new conversation begins with.
async fn first_model(runtime: &dyn AgentRuntime) -> Result<Text> {
    let models = runtime.models().await.map_err(AgentManagerError::from)?;
    let model = models.into_iter().next().ok_or_else(|| anyhow!("there is no model to talk to"))?;
    Ok(Text::name(model.name, "/model_id")?)
}

/// What comes before a turn has nothing to be finished: it is given up when the process is asked to end.
async fn unless_stopped<T>(stop: &mut Stop, work: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        done = work => Ok(done),
        () = stop.requested() => Err(anyhow!("interrupted before anything was said")),
    }
}

/// The failure to print an answer: whoever does not see it must not take its turn for lost.
fn unprinted(error: io::Error, answer: &TurnAnswer) -> anyhow::Error {
    let id = answer.conversation_id;
    match answer.turn_number {
        Some(turn) if answer.durability == Durability::Durable => anyhow::Error::new(error)
            .context(format!("turn {turn} of conversation {id} is stored, but its answer is not shown")),
        _ => error.into(),
    }
}

/// Waits for the turn, also where the process is asked to end meanwhile: but not where it is asked twice.
async fn finished<T>(turn: impl Future<Output = T>, turn_id: TurnId, stop: &mut Stop) -> Result<(T, Next)> {
    let mut turn = pin!(turn);
    tokio::select! {
        biased;
        answer = &mut turn => return Ok((answer, Next::Line)),
        () = stop.requested() => note("finishing this turn; once more ends at once"),
    }
    tokio::select! {
        biased;
        answer = &mut turn => Ok((answer, Next::End)),
        () = stop.requested() => {
            Err(anyhow!("ended within a turn: whether turn {turn_id} is stored is not known"))
        }
    }
}

fn not_blank(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("write something to say") } else { Ok(text.to_owned()) }
}

fn can_be_said_again(error: &anyhow::Error) -> bool {
    if error.is::<Unsaid>() {
        return true;
    }
    let error = error.downcast_ref::<AgentManagerError>();
    // A model that failed has left nothing behind.
    matches!(error, Some(AgentManagerError::Agent(_)))
        || error.and_then(AgentManagerError::repository_error).is_some_and(RepositoryError::is_retryable)
}

/// The lines of standard input. A thread of its own reads them: a read that waits cannot be given up,
/// and must not keep the process from ending.
fn lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                line.pop_if(|byte| *byte == b'\r');
                line
            });
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// A turn that is done when it is told to be, and a process that is asked to end `times` meanwhile.
    async fn interrupted(times: u32) -> (Result<(u32, Next)>, bool) {
        let (asked, mut stop) = Stop::by_hand();
        let (done, turn) = oneshot::channel();
        let ended = tokio::spawn(async move {
            finished(async { turn.await.unwrap() }, TurnId::generate(), &mut stop).await
        });
        for _ in 0..times {
            asked.send_modify(|count| *count += 1);
            // The current-thread runtime: it has taken note before we go on.
            tokio::task::yield_now().await;
        }
        let waits = done.send(7).is_ok();
        (ended.await.unwrap(), waits)
    }

    #[tokio::test]
    async fn a_turn_is_finished_when_the_process_is_asked_to_end() {
        assert!(matches!(interrupted(0).await, (Ok((7, Next::Line)), true)));
        assert!(matches!(interrupted(1).await, (Ok((7, Next::End)), true)));
    }

    #[tokio::test]
    async fn asked_twice_the_process_ends_at_once_and_says_what_that_means() {
        let (ended, waits) = interrupted(2).await;
        let said = ended.err().unwrap().to_string();
        assert!(!waits && said.contains("is stored is not known"), "{said}");
    }
}
