//! How a connection begins: TLS where it is needed, SCRAM, the session's first settings.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use futures::{Sink, SinkExt};
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{ClientInfo, METADATA_USER, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::{Authentication, PasswordMessageFamily, SecretKey};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};

use super::Talk;
use super::accounts::Logins;
use super::errors::fatal;
use super::scram::{Exchange, MECHANISM, Refused, Verifier};
use super::session::REPORTED;
use crate::fault::{NodeError, printable};
use crate::log;

/// What a wrong password costs, and an unknown account the same.
const FAILED_COSTS: Duration = Duration::from_secs(1);

#[async_trait]
impl StartupHandler for Talk {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(ref startup) => {
                protocol_negotiation(client, startup).await?;
                save_startup_parameters_to_metadata(client, startup);
                if !client.is_secure() && !client.socket_addr().ip().is_loopback() {
                    let error = NodeError::new("TLS_REQUIRED", "passwords and answers travel encrypted only");
                    return Err(fatal(&error.hint("connect with sslmode=verify-full")));
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let mechanisms = Authentication::SASL(vec![MECHANISM.to_owned()]);
                client.send(PgWireBackendMessage::Authentication(mechanisms)).await?;
                Ok(())
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let begun = self.exchange().take();
                match begun {
                    None => {
                        let reply = self.begin(client, message)?;
                        let reply = Authentication::SASLContinue(reply.into_bytes().into());
                        client.send(PgWireBackendMessage::Authentication(reply)).await?;
                    }
                    Some(exchange) => {
                        let response = message.into_sasl_response()?;
                        let last = match exchange.end(&response.data) {
                            Ok(last) => last,
                            Err(why) => return Err(self.refused(client, why).await),
                        };
                        let last = Authentication::SASLFinal(last.into_bytes().into());
                        client.send(PgWireBackendMessage::Authentication(last)).await?;
                        self.enter(client).await?;
                    }
                }
                Ok(())
            }
            _ => Err(fatal(&NodeError::new("BAD_MESSAGE", "log in first"))),
        }
    }
}

impl Talk {
    fn begin(&self, client: &impl ClientInfo, message: PasswordMessageFamily) -> PgWireResult<String> {
        let first = message.into_sasl_initial_response()?;
        if first.auth_method != MECHANISM {
            return Err(fatal(&NodeError::new("BAD_MESSAGE", format!("passwords are shown by {MECHANISM} only"))));
        }
        let random = mpc_core::random::os_bytes()
            .map_err(|_| fatal(&NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness")))?;
        let data = first.data.unwrap_or_default();
        let begun = Exchange::begin(&data, self.verifier(&user(client)), &random[..18]);
        let (exchange, reply) = begun.map_err(malformed)?;
        *self.exchange() = Some(exchange);
        Ok(reply)
    }

    /// That of the account, or one that no password fits.
    fn verifier(&self, name: &str) -> Verifier {
        let nobody = || Verifier::of_nobody(name, &self.door.nobody);
        let logins = Logins::read(&self.door.accounts).unwrap_or_else(|error| {
            log::fault(&self.door.site, "login", None, &error);
            Logins::default()
        });
        // An account that node.toml no longer has is nobody.
        let known = logins.verifier(name).filter(|_| self.door.jobs.has_account(name));
        known.cloned().unwrap_or_else(nobody)
    }

    async fn refused(&self, client: &impl ClientInfo, why: Refused) -> PgWireError {
        let name = printable(&user(client));
        let error = NodeError::new("BAD_PASSWORD", format!("there is no account '{name}' with this password"));
        // Who tries is not logged by name: names of analysts are not in logs.
        log::fault(
            &self.door.site,
            "login",
            None,
            &NodeError::new("BAD_PASSWORD", "somebody showed no right password"),
        );
        // Its place is taken for that long, also if it leaves.
        let place = self.arriving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let paid = tokio::spawn(async move {
            tokio::time::sleep(FAILED_COSTS).await;
            drop(place);
        });
        let _ = paid.await;
        match why {
            Refused::Password => fatal(&error),
            Refused::Malformed(_) => malformed(why),
        }
    }

    async fn enter<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let account = user(client);
        let seat = self.door.desk.sit(&account).map_err(|error| fatal(&error))?;
        self.settings().begin(client.metadata()).map_err(|error| fatal(&error))?;
        let _ = self.first.set(self.settings().clone());
        let database = client.metadata().get("database").cloned();
        self.entered(account.clone(), database.unwrap_or(account), seat);
        let (pid, key) = self.key(client.protocol_version()).map_err(|error| fatal(&error))?;
        client.set_pid_and_secret_key(pid, key);
        let parameters = Parameters(REPORTED.map(|name| (name, self.settings().show(name).unwrap_or_default())));
        // Before the client hears that it may send longer messages.
        self.known.store(true, Ordering::Relaxed);
        finish_authentication(client, &parameters).await?;
        Ok(())
    }

    /// A number and a key with which another connection may ask for an end of what runs here.
    fn key(&self, version: ProtocolVersion) -> Result<(i32, SecretKey), NodeError> {
        let random = mpc_core::random::os_bytes().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
        let short = i32::from_be_bytes(*random.first_chunk().expect("32 bytes hold four"));
        let key = match version {
            ProtocolVersion::PROTOCOL3_0 => SecretKey::I32(short),
            _ => {
                let mut bytes = BytesMut::with_capacity(random.len());
                bytes.put_slice(&random);
                SecretKey::Bytes(bytes.freeze())
            }
        };
        Ok((self.door.register(key.clone(), self), key))
    }
}

fn user(client: &impl ClientInfo) -> String {
    client.metadata().get(METADATA_USER).cloned().unwrap_or_default()
}

fn malformed(why: Refused) -> PgWireError {
    let text = match why {
        Refused::Malformed(text) => text,
        Refused::Password => "the password is another one",
    };
    fatal(&NodeError::new("BAD_MESSAGE", text))
}

/// What is reported when a connection begins.
struct Parameters([(&'static str, String); REPORTED.len()]);

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let mut all: HashMap<String, String> =
            self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        all.insert("session_authorization".to_owned(), user(client));
        Some(all)
    }
}
