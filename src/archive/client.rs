//! The bucket: connect, put, get, look, delete, ask how it is.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use bytes::Bytes;
use futures::Stream;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::error::{ArchiveError, status_of};
use super::upload;
use crate::base::telemetry::Metrics;

const JSON: &str = "application/json";
/// The largest object that is read back; ours are transcripts and profiles of a few kilobytes.
const LARGEST_JSON: usize = 16 * 1024 * 1024;

/// Keys of our own, where the environment of the machine has none to offer.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: SecretString,
    /// `AWS_SESSION_TOKEN`, for temporary keys.
    pub session_token: Option<SecretString>,
}

/// Where the archive is and how patient we are with it.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// `S3_BUCKET_NAME`.
    pub bucket: String,
    /// `AWS_REGION`.
    pub region: String,
    /// `S3_ENDPOINT_URL`, for a server that is S3-compatible: path style, checksums only where required. `None`: AWS.
    pub endpoint_url: Option<String>,
    /// `None`: the default chain of AWS (environment, profile, container, instance).
    pub credentials: Option<Credentials>,
    /// To connect.
    pub connect_timeout: Duration,
    /// For one request, which is also one part of a large object.
    pub attempt_timeout: Duration,
    /// For one operation with its repeats.
    pub operation_timeout: Duration,
    /// How long the source of a stream may stay silent.
    pub source_idle: Duration,
}

impl ArchiveConfig {
    /// A bucket at AWS with the usual patience and credentials.
    #[must_use]
    pub fn new(bucket: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: region.into(),
            endpoint_url: None,
            credentials: None,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(20),
            operation_timeout: Duration::from_secs(45),
            source_idle: Duration::from_secs(30),
        }
    }
}

/// One bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    pub(super) s3: Client,
    pub(super) bucket: Arc<str>,
    source_idle: Duration,
    metrics: Metrics,
}

impl Archive {
    /// Prepares the client; S3 itself is first asked by an operation, so a node starts while S3 is away.
    pub async fn connect(config: ArchiveConfig, metrics: Metrics) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            .operation_attempt_timeout(config.attempt_timeout)
            .operation_timeout(config.operation_timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(config.region))
            .timeout_config(timeouts)
            // Every request has a time-out of its own, and what is streamed is watched at its source.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(
                // Short waits: what lasts longer is the business of the caller's own schedule, which survives a restart.
                RetryConfig::standard()
                    .with_max_attempts(3)
                    .with_initial_backoff(Duration::from_millis(100))
                    .with_max_backoff(Duration::from_secs(2)),
            );
        if let Some(keys) = config.credentials {
            let token = keys.session_token.map(|t| t.expose_secret().to_owned());
            loader = loader.credentials_provider(aws_sdk_s3::config::Credentials::new(
                keys.access_key,
                keys.secret_key.expose_secret(),
                token,
                None,
                "carillon",
            ));
        }
        let mut s3 = aws_sdk_s3::config::Builder::from(&Box::pin(loader.load()).await);
        if let Some(url) = config.endpoint_url {
            // Not every compatible server knows the checksums that AWS adds of late, nor buckets as host names.
            s3 = s3
                .endpoint_url(url)
                .force_path_style(true)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        Self {
            s3: Client::from_conf(s3.build()),
            bucket: config.bucket.into(),
            source_idle: config.source_idle,
            metrics,
        }
    }

    /// Stores a JSON document. Again with the same value changes nothing.
    ///
    /// # Errors
    /// Where S3 is away or refuses.
    pub async fn put_json(&self, key: &str, value: &Value) -> Result<(), ArchiveError> {
        let result = match serde_json::to_vec(value) {
            Ok(body) => upload::put(self, key, JSON, body.into()).await,
            Err(error) => Err(error.into()),
        };
        self.counted(result)
    }

    /// Stores what `source` yields, without ever holding more than two parts of 5 MiB and one chunk of it: a single put
    /// where it is short, a multipart upload otherwise, which is aborted where anything fails or the caller gives up.
    /// Where `len` is known, a source that ends early or late is an error. Returns the number of bytes stored.
    ///
    /// # Errors
    /// [`ArchiveError::Source`] where the source fails or falls silent; else where S3 is away or refuses. Either way no
    /// object has been stored.
    pub async fn put_stream<S, E>(
        &self,
        key: &str,
        content_type: &str,
        len: Option<u64>,
        source: S,
    ) -> Result<u64, ArchiveError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Display,
    {
        let source = upload::Source::new(source, len, self.source_idle);
        let result = Box::pin(upload::stream(self, key, content_type, source)).await;
        self.counted(result)
    }

    /// Stores these very bytes, which are JSON: for documents whose hash is known elsewhere.
    ///
    /// # Errors
    /// Where S3 is away or refuses.
    pub async fn put_bytes(&self, key: &str, body: Bytes) -> Result<(), ArchiveError> {
        let result = upload::put(self, key, JSON, body).await;
        self.counted(result)
    }

    /// Reads a JSON document; `None` where there is none.
    ///
    /// # Errors
    /// Where S3 is away or refuses, or the object is no JSON.
    pub async fn get_json(&self, key: &str) -> Result<Option<Value>, ArchiveError> {
        let body = self.get_bytes(key).await?;
        Ok(body.map(|body| serde_json::from_slice(&body)).transpose()?)
    }

    /// Reads an object of ours, as it stands; `None` where there is none.
    ///
    /// # Errors
    /// Where S3 is away or refuses.
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        const OPERATION: &str = "GetObject";
        let answer = self.s3.get_object().bucket(&*self.bucket).key(key).send();
        let object = match Box::pin(answer).await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(ArchiveError::from_sdk(OPERATION, &error)),
        };
        let body =
            read(object.body).await.map_err(|why| ArchiveError::Unavailable { operation: OPERATION, why })?;
        Ok(Some(body))
    }

    /// The keys that begin with `prefix` and are greater than `after`, in order, those that `keep` keeps.
    ///
    /// # Errors
    /// Where S3 is away or refuses.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        keep: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<String>, ArchiveError> {
        let (mut kept, mut next) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .s3
                .list_objects_v2()
                .bucket(&*self.bucket)
                .prefix(prefix)
                .set_start_after(after.map(str::to_owned))
                .set_continuation_token(next)
                .send();
            let page =
                Box::pin(page).await.map_err(|error| ArchiveError::from_sdk("ListObjectsV2", &error))?;
            kept.extend(
                page.contents().iter().filter_map(|o| o.key()).filter(|k| keep(k)).map(str::to_owned),
            );
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                return Ok(kept);
            }
        }
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// Where S3 is away or refuses to say.
    pub async fn exists(&self, key: &str) -> Result<bool, ArchiveError> {
        Ok(self.size(key).await?.is_some())
    }

    /// The size of an object in bytes; `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::exists`].
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        let answer = self.s3.head_object().bucket(&*self.bucket).key(key).send();
        match Box::pin(answer).await {
            Ok(head) => Ok(Some(head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0))),
            // A HEAD has no body, so the status is all that tells; a bucket that is missing shows at the first put.
            Err(error) if status_of(&error) == 404 => Ok(None),
            Err(error) => Err(ArchiveError::from_sdk("HeadObject", &error)),
        }
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// Where S3 is away or refuses.
    pub async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        let answer = self.s3.delete_object().bucket(&*self.bucket).key(key).send();
        match Box::pin(answer).await {
            Ok(_) => Ok(()),
            // Some compatible servers say 404 where AWS says 204.
            Err(error) if error.code_is("NoSuchKey") => Ok(()),
            Err(error) => Err(ArchiveError::from_sdk("DeleteObject", &error)),
        }
    }

    /// Asks for the bucket and says how long the answer took.
    ///
    /// # Errors
    /// Where S3 is away, refuses, or has no such bucket.
    pub async fn health(&self) -> Result<Duration, ArchiveError> {
        let asked = Instant::now();
        let answer = self.s3.head_bucket().bucket(&*self.bucket).send();
        Box::pin(answer).await.map_err(|error| ArchiveError::from_sdk("HeadBucket", &error))?;
        Ok(asked.elapsed())
    }

    /// Makes the bucket where it is missing: for development servers, whose bucket nobody has made.
    ///
    /// # Errors
    /// Where S3 is away or refuses.
    pub async fn ensure_bucket(&self) -> Result<(), ArchiveError> {
        let answer = self.s3.create_bucket().bucket(&*self.bucket).send();
        match Box::pin(answer).await {
            Ok(_) => Ok(()),
            Err(error)
                if error.code_is("BucketAlreadyOwnedByYou") || error.code_is("BucketAlreadyExists") =>
            {
                self.health().await.map(|_| ())
            }
            Err(error) => Err(ArchiveError::from_sdk("CreateBucket", &error)),
        }
    }

    fn counted<T>(&self, result: Result<T, ArchiveError>) -> Result<T, ArchiveError> {
        let label = result.as_ref().map_or_else(ArchiveError::label, |_| "ok");
        self.metrics.s3_puts.with_label_values(&[label]).inc();
        result
    }
}

/// The whole body, as long as it is no larger than anything of ours.
async fn read(mut body: ByteStream) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| e.to_string())?;
        if all.len() + chunk.len() > LARGEST_JSON {
            return Err(format!("the object is larger than {LARGEST_JSON} bytes"));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Asking an SDK's error for its code.
trait CodeIs {
    fn code_is(&self, code: &str) -> bool;
}

impl<E: aws_sdk_s3::error::ProvideErrorMetadata> CodeIs for E {
    fn code_is(&self, code: &str) -> bool {
        self.code() == Some(code)
    }
}
