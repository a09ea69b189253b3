//! SCRAM-SHA-256 at the server: who knows the password shows it, and neither the password nor what would do in its place is kept or
//! travels.
//!
//! # Source
//! RFC 5802 (the exchange) and RFC 7677 (with SHA-256); the form of a verifier is PostgreSQL's own (`pg_authid.rolpassword`).
//!
//! # Deviations
//! No channel binding: a client that insists on it is refused. As in PostgreSQL, the user's name is that of the startup message.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use ring::pbkdf2;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::fault::NodeError;

/// The only mechanism offered.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds of PBKDF2 of new verifiers; PostgreSQL's own default is 4096.
const ITERATIONS: u32 = 32_768;
/// The most that is read from a file: a client would compute for minutes.
const MOST_ITERATIONS: u32 = 10_000_000;
const SALT_BYTES: usize = 16;

/// What a password is verified with. It does not give the password, nor may anybody log in with it; it does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Verifier {
    /// Of a password, with a salt of its own.
    ///
    /// # Errors
    /// `NO_RANDOMNESS`.
    pub fn of(password: &str) -> Result<Self, NodeError> {
        let salt = mpc_core::random::os_bytes().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
        Ok(Self::salted(password, &salt[..SALT_BYTES], ITERATIONS))
    }

    fn salted(password: &str, salt: &[u8], iterations: u32) -> Self {
        // As PostgreSQL: a password that SASLprep cannot prepare is taken as it is.
        let prepared = Zeroizing::new(stringprep::saslprep(password).map_or_else(|_| password.to_owned(), Into::into));
        let mut salted = Zeroizing::new([0; 32]);
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, prepared.as_bytes(), &mut *salted);
        let client_key = Zeroizing::new(keyed(&*salted, b"Client Key"));
        let stored_key = Sha256::digest(*client_key).into();
        Self { iterations, salt: salt.to_vec(), stored_key, server_key: keyed(&*salted, b"Server Key") }
    }

    /// For somebody who has no account: nobody knows its password, and each name has the same salt whenever it is asked for, so
    /// that the exchange looks like that of a wrong password. `key` is the node's own.
    pub fn of_nobody(name: &str, key: &[u8; 32]) -> Self {
        let part = |what: &str| keyed(key, format!("{what}\0{name}").as_bytes());
        let salt = part("salt")[..SALT_BYTES].to_vec();
        Self { iterations: ITERATIONS, salt, stored_key: part("stored"), server_key: part("server") }
    }

    /// PostgreSQL's text form.
    pub fn text(&self) -> Zeroizing<String> {
        let [salt, stored, server] = [&self.salt[..], &self.stored_key, &self.server_key].map(|b| BASE64.encode(b));
        Zeroizing::new(format!("{MECHANISM}${}:{salt}${stored}:{server}", self.iterations))
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split('$');
        let ((iterations, salt), (stored, server)) = (parts.next()?.split_once(':')?, parts.next()?.split_once(':')?);
        let key = |text: &str| <[u8; 32]>::try_from(BASE64.decode(text).ok()?).ok();
        let (stored_key, server_key) = (key(stored)?, key(server)?);
        let iterations = iterations.parse().ok().filter(|n| (1..=MOST_ITERATIONS).contains(n))?;
        let salt = BASE64.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()))?;
        parts.next().is_none().then_some(Self { iterations, salt, stored_key, server_key })
    }
}

fn keyed(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}

/// An exchange whose last message is awaited.
pub struct Exchange {
    verifier: Verifier,
    /// `client-first-message-bare,server-first-message,`.
    messages: String,
    header: String,
    nonce: String,
}

/// Why an exchange ended without a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not the exchange that was agreed.
    Malformed(&'static str),
    /// The password is another one.
    Password,
}

impl Exchange {
    /// Reads the client's first message; with the reply. `random` goes into the nonce and is used once.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn begin(first: &[u8], verifier: Verifier, random: &[u8]) -> Result<(Self, String), Refused> {
        let malformed = Refused::Malformed("the first message of SCRAM is not as RFC 5802 says");
        let first = std::str::from_utf8(first).map_err(|_| malformed)?;
        let mut parts = first.splitn(3, ',');
        let (binding, authzid, bare) = (parts.next(), parts.next(), parts.next());
        let (binding, authzid, bare) = (binding.ok_or(malformed)?, authzid.ok_or(malformed)?, bare.ok_or(malformed)?);
        if binding != "n" && binding != "y" {
            return Err(Refused::Malformed("channel binding is not offered"));
        }
        if !authzid.is_empty() {
            return Err(Refused::Malformed("nobody logs in for somebody else"));
        }
        let mut attributes = bare.split(',');
        let (name, nonce) = (attributes.next(), attributes.next().and_then(|text| text.strip_prefix("r=")));
        let named = name.is_some_and(|name| name.starts_with("n="));
        let nonce = nonce.filter(|nonce| named && nonce.bytes().all(|b| b.is_ascii_graphic())).ok_or(malformed)?;
        let nonce = format!("{nonce}{}", BASE64.encode(random));
        let reply = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let header = BASE64.encode(format!("{binding},,"));
        Ok((Self { verifier, messages: format!("{bare},{reply},"), header, nonce }, reply))
    }

    /// Reads the client's last message; with the server's, by which the client knows that the server knows the verifier.
    ///
    /// # Errors
    /// `Password` where the proof does not fit.
    pub fn end(self, last: &[u8]) -> Result<String, Refused> {
        let malformed = Refused::Malformed("the last message of SCRAM is not as RFC 5802 says");
        let last = std::str::from_utf8(last).map_err(|_| malformed)?;
        let (without_proof, proof) = last.rsplit_once(",p=").ok_or(malformed)?;
        if without_proof != format!("c={},r={}", self.header, self.nonce) {
            return Err(malformed);
        }
        let proof = BASE64.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok()).ok_or(malformed)?;
        let message = self.messages + without_proof;
        let signature = keyed(&self.verifier.stored_key, message.as_bytes());
        let mut client_key = Zeroizing::new([0; 32]);
        for (byte, (a, b)) in client_key.iter_mut().zip(proof.iter().zip(signature)) {
            *byte = a ^ b;
        }
        let stored: [u8; 32] = Sha256::digest(*client_key).into();
        // Both sides are keyed anew, so that the time it takes tells nothing about the key that is stored.
        if keyed(&signature, &stored) != keyed(&signature, &self.verifier.stored_key) {
            return Err(Refused::Password);
        }
        Ok(format!("v={}", BASE64.encode(keyed(&self.verifier.server_key, message.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3: password `pencil`. The server's part of its nonce is not ours to choose, so the client's
    /// part of the test is computed as the RFC says, by the same formulas from the password.
    fn rfc() -> Verifier {
        Verifier::salted("pencil", &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
    }

    #[test]
    fn the_example_of_the_rfc_gives_its_proof_and_signature() {
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,";
        let exchange = Exchange {
            verifier: rfc(),
            messages: message.into(),
            header: "biws".into(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(),
        };
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(exchange.end(last.as_bytes()), Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into()));
    }

    #[test]
    fn another_proof_nonce_or_binding_is_refused() {
        let begin = || Exchange::begin(b"n,,n=,r=abc", rfc(), &[1; 18]).unwrap();
        let (exchange, reply) = begin();
        let nonce = reply[2..].split(',').next().unwrap().to_owned();
        let proof = BASE64.encode([7; 32]);
        assert_eq!(exchange.end(format!("c=biws,r={nonce},p={proof}").as_bytes()), Err(Refused::Password));
        for last in [format!("c=biws,r={nonce}x,p={proof}"), format!("c=eSws,r={nonce},p={proof}"), "c=biws".into()] {
            assert!(matches!(begin().0.end(last.as_bytes()), Err(Refused::Malformed(_))), "{last}");
        }
        for first in ["", "n,,", "p=tls-unique,,n=,r=a", "n,a=eve,n=,r=a", "n,,n=,x=a", "n,,r=a", "n,,n=,r=\u{7f}"] {
            assert!(
                matches!(Exchange::begin(first.as_bytes(), rfc(), &[1; 18]), Err(Refused::Malformed(_))),
                "{first}"
            );
        }
    }

    #[test]
    fn a_verifier_reads_back_and_what_is_none_is_not_read() {
        let verifier = Verifier::of("correct horse").unwrap();
        assert!(Verifier::parse(&verifier.text()).unwrap() == verifier);
        assert!(Verifier::of("correct horse").unwrap() != verifier, "each has its own salt");
        for text in [
            "",
            "SCRAM-SHA-256$4096:AAAA$x:y",
            "md5abc",
            &verifier.text().replace('$', ""),
            &(verifier.text().to_string() + "$"),
        ] {
            assert!(Verifier::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_looks_the_same_every_time_and_differs_from_others() {
        let of = |name: &str| Verifier::of_nobody(name, &[3; 32]);
        assert!(of("eve") == of("eve"));
        assert!(of("eve").salt != of("mallory").salt && of("eve").stored_key != of("eve").server_key);
        assert_eq!((of("eve").iterations, of("eve").salt.len()), (ITERATIONS, SALT_BYTES));
    }
}
