// Every metric of lossd: its name, its type and the help text that scrapes
// show.
#ifndef LOSSD_SERVER_OBSERVABILITY_METRIC_LIST_H_
#define LOSSD_SERVER_OBSERVABILITY_METRIC_LIST_H_

namespace lossd::observability {

// A summary has a sum and a count.
enum class MetricType { kCounter, kGauge, kHistogram, kSummary };

struct MetricInfo {
  const char* name;
  MetricType type;
  const char* help;
};

namespace metric {

// Calls, counted by the RPC threads.
inline constexpr MetricInfo kRequests = {
    "lossd_requests_total", MetricType::kCounter,
    "Calls that ended, by status code: OK, CANCELLED (the client went away), "
    "DEADLINE_EXCEEDED (expired), and errors."};
inline constexpr MetricInfo kRequestSeconds = {
    "lossd_request_seconds", MetricType::kHistogram,
    "Time from taking a call off the wire to the end of its reply, in "
    "seconds."};
inline constexpr MetricInfo kAccepted = {
    "lossd_accepted_total", MetricType::kCounter,
    "Calls taken off the wire; each ends once, in lossd_requests_total."};
inline constexpr MetricInfo kRejected = {
    "lossd_rejected_total", MetricType::kCounter,
    "Calls refused by admission, by reason; they are in lossd_requests_total "
    "too."};
inline constexpr MetricInfo kReceivedBytes = {
    "lossd_received_bytes_total", MetricType::kCounter,
    "Request bytes received, in bytes."};
inline constexpr MetricInfo kSentBytes = {"lossd_sent_bytes_total",
                                          MetricType::kCounter,
                                          "Reply bytes sent, in bytes."};

// Tasks and batches, counted by the threads that compute them.
inline constexpr MetricInfo kNanLogits = {
    "lossd_nan_logits_total", MetricType::kCounter, "Logits that were NaN."};
inline constexpr MetricInfo kElements = {
    "lossd_elements_total", MetricType::kCounter,
    "Elements computed, by loss and by the logits' type."};
inline constexpr MetricInfo kBatchRequests = {
    "lossd_batch_requests", MetricType::kHistogram,
    "Requests in a batch, when taken."};
inline constexpr MetricInfo kBatchElements = {
    "lossd_batch_elements", MetricType::kHistogram,
    "Elements in a batch, when taken."};
inline constexpr MetricInfo kQueueSeconds = {
    "lossd_queue_seconds", MetricType::kHistogram,
    "Time a task waited in the queue, in seconds."};
inline constexpr MetricInfo kComputeSeconds = {
    "lossd_compute_seconds", MetricType::kHistogram,
    "Time an executor spent on a batch, in seconds."};
inline constexpr MetricInfo kDeviceErrors = {
    "lossd_device_errors_total", MetricType::kCounter,
    "Failed calls to a device. Their batches were still computed, on another "
    "device or on the CPU, unless the tensors lay in the device's memory."};

// Training jobs, by the label training_job: Prometheus uses `job` itself. All
// of them are counted by the threads that compute.
inline constexpr MetricInfo kJobRequests = {
    "lossd_job_requests_total", MetricType::kCounter,
    "Requests of the job that were computed; a stream is one."};
inline constexpr MetricInfo kJobElements = {"lossd_job_elements_total",
                                            MetricType::kCounter,
                                            "Elements computed for the job."};
inline constexpr MetricInfo kJobNanLogits = {
    "lossd_job_nan_logits_total", MetricType::kCounter,
    "Logits of the job that were NaN."};
inline constexpr MetricInfo kJobLoss = {
    "lossd_job_loss", MetricType::kSummary,
    "Losses of the job's elements, times their weights and loss_weight, before "
    "they are reduced. Ignored elements are left out; so are requests, or "
    "windows of streams, whose losses have a sum that is NaN or infinite, and "
    "the sum leaves out negative ones."};
inline constexpr MetricInfo kJobNegativeLoss = {
    "lossd_job_negative_loss_total", MetricType::kCounter,
    "The negative sums that lossd_job_loss_sum leaves out, without their "
    "sign."};
inline constexpr MetricInfo kJobBadLosses = {
    "lossd_job_bad_losses_total", MetricType::kCounter,
    "Requests, or windows of streams, whose losses have a sum that is NaN or "
    "infinite."};
inline constexpr MetricInfo kJobGradientSquare = {
    "lossd_job_gradient_square", MetricType::kSummary,
    "Squared norms of the gradients by the logits that the job's requests got, "
    "estimated from the sampled elements."};
inline constexpr MetricInfo kJobBadGradients = {
    "lossd_job_bad_gradients_total", MetricType::kCounter,
    "Sampled elements whose gradient is NaN, infinite or too large to square."};
inline constexpr MetricInfo kJobSampled = {
    "lossd_job_sampled_elements_total", MetricType::kCounter,
    "Elements that were looked at, one in 128 of large requests, without "
    "ignored ones."};
inline constexpr MetricInfo kJobPositives = {
    "lossd_job_positives_total", MetricType::kCounter,
    "Sampled elements with a target of at least 1/2."};
inline constexpr MetricInfo kJobSaturated = {
    "lossd_job_saturated_total", MetricType::kCounter,
    "Sampled elements with a logit beyond 15 or -15."};

// Values that are computed or read at each scrape.
inline constexpr MetricInfo kSaturation = {
    "lossd_saturation", MetricType::kGauge,
    "Seconds that tasks waited per second that executors computed, over at "
    "least the last minute; 0 when nothing was computed."};
inline constexpr MetricInfo kInflightRequests = {
    "lossd_inflight_requests", MetricType::kGauge,
    "Requests admitted and not yet answered."};
inline constexpr MetricInfo kInflightBytes = {
    "lossd_inflight_bytes", MetricType::kGauge,
    "Bytes charged to the requests in flight."};
inline constexpr MetricInfo kMaxInflightRequests = {
    "lossd_max_inflight_requests", MetricType::kGauge,
    "Most requests in flight: --max_inflight_requests, or its default here."};
inline constexpr MetricInfo kMaxInflightBytes = {
    "lossd_max_inflight_bytes", MetricType::kGauge,
    "Most bytes in flight: --max_inflight_bytes, or its default here."};
inline constexpr MetricInfo kSharedMemoryBytes = {
    "lossd_shared_memory_bytes", MetricType::kGauge,
    "Shared memory that clients have."};
inline constexpr MetricInfo kPinnedSharedMemoryBytes = {
    "lossd_pinned_shared_memory_bytes", MetricType::kGauge,
    "Shared memory that GPUs copy from and to by themselves."};
inline constexpr MetricInfo kLentMemoryBytes = {
    "lossd_lent_memory_bytes", MetricType::kGauge,
    "Memory of GPUs that clients lend."};
inline constexpr MetricInfo kQueueDepth = {
    "lossd_queue_depth", MetricType::kGauge,
    "Requests that wait for an executor."};
inline constexpr MetricInfo kExecutorsBusy = {
    "lossd_executors_busy", MetricType::kGauge,
    "Executors that compute a batch now."};
inline constexpr MetricInfo kExecutors = {
    "lossd_executors", MetricType::kGauge,
    "Batches that can be computed at once."};
inline constexpr MetricInfo kConnections = {
    "lossd_connections", MetricType::kGauge,
    "Connections that are open, by listener: tcp or unix."};
inline constexpr MetricInfo kServing = {
    "lossd_serving", MetricType::kGauge,
    "1 while health is SERVING, else 0, as during a drain."};
inline constexpr MetricInfo kFailedHandshakes = {
    "lossd_failed_handshakes_total", MetricType::kCounter,
    "TLS handshakes that failed: plaintext clients, old versions of TLS, and "
    "client certificates that are not accepted."};
inline constexpr MetricInfo kCertificateExpiry = {
    "lossd_certificate_expiry_timestamp_seconds", MetricType::kGauge,
    "When the certificate in use ends, in seconds since 1970."};
inline constexpr MetricInfo kSpansExported = {
    "lossd_spans_exported_total", MetricType::kCounter,
    "Spans that the collector of --otlp_endpoint has accepted."};
inline constexpr MetricInfo kSpansDropped = {
    "lossd_spans_dropped_total", MetricType::kCounter,
    "Spans that were lost, by reason: queue_full, unreachable, refused (by the "
    "collector) or shutdown."};
inline constexpr MetricInfo kTokenFileGood = {
    "lossd_token_file_good", MetricType::kGauge,
    "1 if --token_file could be used when it was last read, else 0: then the "
    "tokens that were read before stay in use."};
inline constexpr MetricInfo kTokensRefused = {
    "lossd_tokens_refused_total", MetricType::kCounter,
    "Calls, and requests of the metrics address, whose Authorization had no "
    "known token where one was needed."};
inline constexpr MetricInfo kBuildInfo = {
    "lossd_build_info", MetricType::kGauge,
    "Always 1; the labels say what is running."};

// Values that the operating system knows of the process, under Prometheus'
// usual names.
inline constexpr MetricInfo kProcessCpuSeconds = {
    "process_cpu_seconds_total", MetricType::kCounter,
    "User and system CPU time spent, in seconds."};
inline constexpr MetricInfo kProcessStartTime = {
    "process_start_time_seconds", MetricType::kGauge,
    "When the process started, in seconds since 1970."};
inline constexpr MetricInfo kProcessVirtualMemory = {
    "process_virtual_memory_bytes", MetricType::kGauge,
    "Size of the address space, in bytes."};
inline constexpr MetricInfo kProcessResidentMemory = {
    "process_resident_memory_bytes", MetricType::kGauge,
    "Memory that is resident, in bytes."};
inline constexpr MetricInfo kProcessThreads = {
    "process_threads", MetricType::kGauge, "Threads of the process."};
inline constexpr MetricInfo kProcessOpenFds = {
    "process_open_fds", MetricType::kGauge, "Open file descriptors."};
inline constexpr MetricInfo kProcessMaxFds = {
    "process_max_fds", MetricType::kGauge,
    "Most file descriptors that may be open."};

}  // namespace metric
}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_METRIC_LIST_H_
