//! The cluster's certificates, by an authority of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate::sys::clock::realtime;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use crate::support::Outcome;

/// Longer than a test, seconds.
const HALF_AN_HOUR: i64 = 1800;

/// Who signs, and where everything lies.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// With its certificate in `FOLDER/ca.crt`.
    pub fn new(folder: &Path) -> Outcome<Self> {
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the tests' cluster");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(folder.join("ca.crt"), issuer.pem())?;
        Ok(Self { issuer, folder: folder.to_owned() })
    }

    /// `NAME.crt` and `NAME.key` of a server that is valid around the moment so many seconds from now.
    pub fn signs_server(&self, name: &str, names: &[&str], from_now: i64) -> Outcome {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let at = |secs: i64| {
            let since = realtime().as_secs() + from_now + secs;
            date_time_ymd(1970, 1, 1) + Duration::from_secs(since.unsigned_abs())
        };
        params.not_before = at(-HALF_AN_HOUR);
        params.not_after = at(HALF_AN_HOUR);
        self.signs(name, &params)
    }

    /// The same of a client: a user, who is of a group.
    pub fn signs_client(&self, name: &str, user: &str, group: &str) -> Outcome {
        let mut params = CertificateParams::new(vec![])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        self.signs(name, &params)
    }

    fn signs(&self, name: &str, params: &CertificateParams) -> Outcome {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.folder.join(name).with_extension("crt"), certificate.pem())?;
        Ok(fs::write(self.folder.join(name).with_extension("key"), key.serialize_pem())?)
    }
}
