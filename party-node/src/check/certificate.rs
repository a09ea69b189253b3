//! Until when the certificate of database programs holds: programs refuse an expired one, and say little of why.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::clock::utc;
use crate::config;
use crate::fault::NodeError;

/// The last moment of the first certificate of a file, in ms since 1970.
///
/// # Errors
/// `CERTIFICATE_EXPIRED`; `CERTIFICATE_NOT_YET`; `BAD_CONFIG` for what is no certificate; `NO_SUCH_FILE`.
pub(super) fn holds_until(file: &Path, now_ms: u64) -> Result<u64, NodeError> {
    let bad = || NodeError::new("BAD_CONFIG", format!("{}: no certificate in PEM", file.display()));
    let first = CertificateDer::from_pem_slice(config::read(file)?.as_bytes()).map_err(|_| bad())?;
    let validity = Certificate::from_der(&first).map_err(|_| bad())?.tbs_certificate.validity;
    let ms = |since_1970: Duration| u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    let (from, until) = (ms(validity.not_before.to_unix_duration()), ms(validity.not_after.to_unix_duration()));
    if now_ms < from {
        let message = format!("{}: the certificate holds from {} on", file.display(), utc(from));
        return Err(NodeError::new("CERTIFICATE_NOT_YET", message).hint("is this machine's clock right?"));
    }
    if now_ms > until {
        let message = format!("{}: the certificate held until {}", file.display(), utc(until));
        return Err(NodeError::new("CERTIFICATE_EXPIRED", message).hint("renew it, and start the node again"));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// From 2026-11-23 04:07:48 to 2026-12-23 04:07:48; its key is thrown away.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIUch95IoH94SYYPW33PPZhXj5ynHgwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyMzA0MDc0OFoXDTI2MTIyMzA0
MDc0OFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE8rMqmRjePWHjxZsxQUU5XPvk8pUSYh/vSo9Wvi2SKLB37YB5oPnn7MRv
BE53L7+fVkR8kB2NZE3gxDTjKYJlfaNTMFEwHQYDVR0OBBYEFPPrNSDVvejGGNwj
OqtYwA4x6CV+MB8GA1UdIwQYMBaAFPPrNSDVvejGGNwjOqtYwA4x6CV+MA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhALRCqLk4slWrJ2ZrIytZwcFH
vYMgoNgxeN1jRXmVaGyhAiEAsyX6xMpXCjm6k4ebKBFM2SF/Id8Wpryycptrd3Vy
NQ4=
-----END CERTIFICATE-----
";

    #[test]
    fn a_certificate_is_named_before_and_after_the_time_for_which_it_holds() {
        let folder = std::env::temp_dir().join(format!("consilium-certificate-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("node.crt");
        fs::write(&file, CERTIFICATE).unwrap();
        let (from, until) = (1_795_406_868_000, 1_797_998_868_000);
        let said = |now| holds_until(&file, now).map_err(|error| (error.code.into_owned(), error.message));
        for now in [from, until] {
            assert_eq!(said(now), Ok(until));
        }
        let (code, message) = said(from - 1).unwrap_err();
        assert_eq!(code, "CERTIFICATE_NOT_YET");
        assert!(message.ends_with("holds from 2026-11-23 04:07:48 UTC on"), "{message}");
        let (code, message) = said(until + 1).unwrap_err();
        assert_eq!(code, "CERTIFICATE_EXPIRED");
        assert!(message.ends_with("held until 2026-12-23 04:07:48 UTC"), "{message}");
        fs::write(&file, "no certificate").unwrap();
        assert_eq!(said(from).unwrap_err().0, "BAD_CONFIG");
        fs::remove_dir_all(&folder).unwrap();
    }
}
