//! The simulated object store: s3s over a directory, with access keys and faults.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use super::faults::{Faults, Target};

/// Keys and place of the store.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The directory that holds the buckets; made where it is missing. None: a fresh one under the system's
    /// temporary directory, which goes when the world ends.
    pub root: Option<std::path::PathBuf>,
    /// The bucket that exists from the start.
    pub bucket: String,
    /// The access key that is accepted.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            root: None,
            bucket: "carillon".into(),
            access_key: "simulated".into(),
            secret_key: "simulated-secret".into(),
        }
    }
}

/// The store's routes, over `root`.
///
/// # Errors
/// When the directory cannot be made.
pub(crate) fn router(config: &S3Config, root: &Path, faults: Faults) -> anyhow::Result<Router> {
    std::fs::create_dir_all(root.join(&config.bucket))?;
    let files = s3s_fs::FileSystem::new(root).map_err(|e| anyhow::anyhow!("the store's directory: {e:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(config.access_key.clone(), config.secret_key.clone()));
    let service = builder.build();
    Ok(Router::new().fallback(move |request: Request| {
        let (service, faults) = (service.clone(), faults.clone());
        async move {
            let key = format!("{} {}", request.method(), request.uri().path());
            faults.guard(Target::S3, &key, refusal, answer(service, request)).await
        }
    }))
}

async fn answer(service: S3Service, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response.map(Body::new),
        Err(_) => super::serve::slam(),
    }
}

/// An error as the store words it: `SlowDown`, `InternalError`, …
fn refusal(status: u16, code: Option<&str>) -> Response {
    let code = code.unwrap_or(match status {
        503 => "SlowDown",
        403 => "AccessDenied",
        404 => "NoSuchKey",
        _ => "InternalError",
    });
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>refused on request</Message></Error>"
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(http::header::CONTENT_TYPE, "application/xml")], body).into_response()
}
