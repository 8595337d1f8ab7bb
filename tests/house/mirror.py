"""Finds the test of a source: it has the same path under tests/, or COVERED_BY names it."""

from __future__ import annotations

from pathlib import Path

# Maps a source without a test of its name to the test that would fail if it were wrong.
COVERED_BY: dict[str, str] = {
    "base/completion/bash.cc": "tests/base/completion/script_test.cc",
    "base/completion/fish.cc": "tests/base/completion/script_test.cc",
    "base/completion/zsh.cc": "tests/base/completion/script_test.cc",
    "bench/bench.py": "tests/bench/test_measurements.py",
    "bench/load/channels.cc": "tests/e2e/test_lossbench.py",
    "bench/load/flags.cc": "tests/e2e/test_lossbench.py",
    "bench/load/report.cc": "tests/e2e/test_lossbench.py",
    "bench/load/session_load.cc": "tests/e2e/test_lossbench.py",
    "bench/load/shared_sample.cc": "tests/e2e/test_shared_memory_programs.py",
    "bench/load/stream_load.cc": "tests/e2e/test_lossbench.py",
    "bench/peers/peer_server.cc": "tests/e2e/test_lossbench.py",
    "bench/results.py": "tests/bench/test_tables.py",
    "bench/scaling/inputs.py": "tests/bench/scaling/test_bounds.py",
    "bench/torch_formulas.py": "tests/bench/test_gpu_torch.py",
    "client/cli/commands.cc": "tests/e2e/test_completion.py",
    "client/cli/compute_command.cc": "tests/e2e/test_lossctl.py",
    "client/cli/connection_flags.cc": "tests/e2e/test_lossctl_secure.py",
    "client/cli/exit_code.cc": "tests/e2e/test_lossctl.py",
    "client/cli/spec_flags.cc": "tests/e2e/test_lossctl.py",
    "client/cli/watch/activity_json.cc": "tests/e2e/test_lossctl_watch.py",
    "client/cli/watch/attention.cc": "tests/e2e/test_lossctl_watch.py",
    "client/cli/watch/increase.cc": "tests/client/cli/watch/activity_test.cc",
    "client/cli/watch/metrics_page.cc": "tests/e2e/test_lossctl_watch.py",
    "client/cli/watch/plain_lines.cc": "tests/e2e/test_lossctl_watch.py",
    "client/cli/watch/watch.cc": "tests/e2e/test_lossctl_watch.py",
    "client/cli/watch_command.cc": "tests/e2e/test_lossctl_watch.py",
    "client/cpp/async_calls.cc": "tests/client/cpp/async_client_test.cc",
    "client/cpp/call.cc": "tests/client/cpp/client_test.cc",
    "client/cpp/connections.cc": "tests/client/cpp/client_test.cc",
    "client/cpp/message/slice_builder.cc": "tests/client/cpp/message/request_writer_test.cc",
    "client/cpp/message/wire_fields.cc": "tests/client/cpp/call_status_test.cc",
    "client/cpp/held_calls.cc": "tests/client/cpp/session_server_test.cc",
    "client/cpp/session_call.cc": "tests/client/cpp/session_test.cc",
    "client/cpp/session_calls.cc": "tests/client/cpp/session_test.cc",
    "client/cpp/session_options.cc": "tests/client/cpp/session_test.cc",
    "client/cpp/session_stream.cc": "tests/client/cpp/session_server_test.cc",
    "client/cpp/stream_call.cc": "tests/integration/stream_client_test.cc",
    "client/cpp/stream_errors.cc": "tests/client/cpp/session_ends_test.cc",
    "client/cpp/tensor/cuda_driver.cc": "tests/client/cpp/tensor/lent_memory_test.cc",
    "client/cpp/tensor/received_tensor.cc": "tests/client/cpp/message/reply_reader_test.cc",
    "client/cpp/tensor/region_socket.cc": "tests/client/cpp/tensor/lent_memory_test.cc",
    "client/cpp/tensor/shared_memory.cc": "tests/integration/shared_memory_client_test.cc",
    "client/python/examples/curves.py": "tests/e2e/test_torch_examples.py",
    "client/python/examples/digits.py": "tests/client/python/test_digits_processes.py",
    "client/python/examples/digits_arguments.py": "tests/client/python/test_digits_arguments.py",
    "client/python/examples/digits_data.py": "tests/client/python/test_digits_model.py",
    "client/python/examples/digits_model.py": "tests/client/python/test_digits_model.py",
    "client/python/examples/digits_report.py": "tests/client/python/test_digits_processes.py",
    "client/python/examples/digits_server.py": "tests/client/python/test_digits_processes.py",
    "client/python/examples/digits_workers.py": "tests/client/python/test_digits_processes.py",
    "client/python/examples/jax_tumours.py": "tests/e2e/test_jax_examples.py",
    "client/python/examples/torch_attributes.py": "tests/e2e/test_torch_examples.py",
    "client/python/examples/torch_siglip.py": "tests/e2e/test_torch_examples.py",
    "client/python/examples/xgboost_objective.py": "tests/e2e/test_tree_examples.py",
    "client/python/loss_layers.py": "tests/e2e/test_caffe.py",
    "client/python/lossd/_channel.py": "tests/e2e/test_python_client.py",
    "client/python/lossd/aio.py": "tests/e2e/test_python_client.py",
    "client/python/lossd/aio_session.py": "tests/e2e/test_python_aio_session.py",
    "client/python/lossd/caffe.py": "tests/e2e/test_caffe.py",
    "client/python/lossd/client.py": "tests/e2e/test_python_client.py",
    "client/python/lossd/cuda_driver.py": "tests/client/python/test_device_memory.py",
    "client/python/lossd/device_array.py": "tests/client/python/test_device_tensors.py",
    "client/python/lossd/jax.py": "tests/e2e/test_jax.py",
    "client/python/lossd/keras/backends.py": "tests/e2e/test_keras.py",
    "client/python/lossd/keras/losses.py": "tests/e2e/test_keras.py",
    "client/python/lossd/keras/tensorflow.py": "tests/e2e/test_keras.py",
    "client/python/lossd/losses.py": "tests/client/python/test_types.py",
    "client/python/lossd/memory_references.py": "tests/e2e/test_shared_memory.py",
    "client/python/lossd/pytorch.py": "tests/client/python/test_device_tensors.py",
    "client/python/lossd/ray/controller.py": "tests/e2e/test_ray.py",
    "client/python/lossd/ray/fleet.py": "tests/e2e/test_ray.py",
    "client/python/lossd/ray/keeper.py": "tests/e2e/test_ray.py",
    "client/python/lossd/ray/state.py": "tests/e2e/test_ray.py",
    "client/python/lossd/recipes/jax.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/recipes/options.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/recipes/others.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/recipes/pytorch.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/recipes/tensorflow.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/recipes/trees.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/recipes/vision.py": "tests/e2e/test_recipes.py",
    "client/python/lossd/result.py": "tests/client/python/test_types.py",
    "client/python/lossd/server_process.py": "tests/e2e/test_child_server.py",
    "client/python/lossd/session_stream.py": "tests/client/python/test_session.py",
    "client/python/lossd/shared_memory.py": "tests/e2e/test_shared_memory.py",
    "client/python/lossd/spec.py": "tests/client/python/test_arguments.py",
    "client/python/lossd/streaming.py": "tests/e2e/test_stream.py",
    "client/python/lossd/targets.py": "tests/client/python/test_conversion.py",
    "client/python/lossd/trees/boosting.py": "tests/e2e/test_trees.py",
    "client/python/lossd/trees/buffers.py": "tests/e2e/test_trees_buffers.py",
    "client/python/lossd/trees/catboost.py": "tests/e2e/test_trees.py",
    "client/python/lossd/trees/derivatives.py": "tests/e2e/test_trees.py",
    "client/python/lossd/trees/lightgbm.py": "tests/e2e/test_trees_parameters.py",
    "client/python/lossd/trees/scikit_learn.py": "tests/e2e/test_trees.py",
    "client/python/lossd/trees/xgboost.py": "tests/e2e/test_trees_parameters.py",
    "client/python/lossd/torch/calls.py": "tests/e2e/test_torch_shared_memory.py",
    "client/python/lossd/torch/distributed.py": "tests/e2e/test_torch_distributed.py",
    "client/python/lossd/torch/eager.py": "tests/e2e/test_torch_autograd.py",
    "client/python/lossd/torch/functional.py": "tests/e2e/test_torch_losses.py",
    "client/python/lossd/torch/modules.py": "tests/e2e/test_torch_substitution.py",
    "client/python/lossd/torch/operators.py": "tests/e2e/test_torch_compiler.py",
    "client/python/lossd/torch/places.py": "tests/e2e/test_torch_shared_memory.py",
    "client/python/lossd/torch/shared.py": "tests/e2e/test_torch_shared_memory.py",
    "client/python/lossd/torch/options.py": "tests/e2e/test_torch_losses.py",
    "client/python/lossd/torch/servers.py": "tests/e2e/test_torch_bad_input.py",
    "client/python/lossd/torch/siglip.py": "tests/e2e/test_torch_losses.py",
    "client/python/lossd/wire.py": "tests/client/python/test_conversion.py",
    "client/python/lossd/with_parent.py": "tests/e2e/test_child_server.py",
    "client/python/setup.py": "tests/e2e/test_python_package.py",
    "client/service_config/cpp/retry.cc": "tests/e2e/test_service_config.py",
    "client/service_config/python/retry.py": "tests/e2e/test_service_config.py",
    "kernels/cpu/cpu_kernel.cc": "tests/kernels/invariance_test.cc",
    "kernels/cpu/vector_kernel.cc": "tests/kernels/invariance_test.cc",
    "kernels/cuda/item_range.cc": "tests/kernels/cuda/batch_layout_test.cc",
    "kernels/cuda/exact_kernels.cu": "tests/kernels/cuda/gpu_test.cc",
    "kernels/cuda/launcher.cu": "tests/kernels/cuda/gpu_test.cc",
    "kernels/cuda/lookup_kernels.cu": "tests/kernels/cuda/gpu_test.cc",
    "kernels/cuda/prefetch_kernels.cu": "tests/kernels/cuda/gpu_test.cc",
    "kernels/element/fit_polynomials.py": "tests/kernels/accuracy_test.cc",
    "kernels/reference/reference.cc": "tests/kernels/reference_test.cc",
    "server/allocation_failure.cc": "tests/e2e/test_container.py",
    "server/backend.cc": "tests/integration/cuda_backend_test.cc",
    "server/base/unix_socket.cc": "tests/server/shared_memory/region_socket_test.cc",
    "server/config.cc": "tests/server/flags_test.cc",
    "server/config_table.cc": "tests/server/flags_test.cc",
    "server/door/acceptor.cc": "tests/e2e/test_connections.py",
    "server/door/admin_gate.cc": "tests/integration/permissions_test.cc",
    "server/door/credentials.cc": "tests/e2e/test_tls_renewal.py",
    "server/door/descriptor_limit.cc": "tests/e2e/test_connections.py",
    "server/door/entrance.cc": "tests/server/door/client_flow_test.cc",
    "server/door/grpc_log.cc": "tests/e2e/test_tls_renewal.py",
    "server/door/handed_over.cc": "tests/e2e/test_connections.py",
    "server/door/health_watch.cc": "tests/integration/health_watch_test.cc",
    "server/door/metadata_name.cc": "tests/server/door/flow_name_test.cc",
    "server/door/listener.cc": "tests/e2e/test_connections.py",
    "server/door/tls_files.cc": "tests/server/door/certificates_test.cc",
    "server/door/transport.cc": "tests/e2e/test_unfinished_messages.py",
    "server/execution/cuda/cuda_device.cc": "tests/server/execution/cuda/gpu_test.cc",
    "server/execution/cuda/pool_lending.cc": "tests/server/execution/cuda/lent_executor_test.cc",
    "server/execution/cuda/stub_device.cc": "tests/server/execution/cuda/gpu_test.cc",
    "server/facts.cc": "tests/e2e/test_log.py",
    "server/observability/families.cc": "tests/server/observability/metrics_test.cc",
    "server/observability/gzip.cc": "tests/server/observability/exposer_test.cc",
    "server/observability/log_line.cc": "tests/server/observability/log_test.cc",
    "server/observability/server_families.cc": "tests/server/observability/metrics_test.cc",
    "server/observability/status_page.cc": "tests/server/observability/exposer_test.cc",
    "server/request/bad_elements.cc": "tests/integration/bad_input_test.cc",
    "server/request/broadcasting.cc": "tests/server/request/valid_request_test.cc",
    "server/request/format.cc": "tests/server/request/bad_request_test.cc",
    "server/request/stream_plan.cc": "tests/server/request/window_maker_test.cc",
    "server/request/tensor.cc": "tests/server/request/bad_request_test.cc",
    "server/request/tensor_roles.cc": "tests/server/request/bad_request_test.cc",
    "server/rpc/call_log.cc": "tests/e2e/test_log.py",
    "server/rpc/compute_loss_call.cc": "tests/integration/compute_loss_test.cc",
    "server/rpc/compute_losses_call.cc": "tests/integration/compute_losses_test.cc",
    "server/rpc/entry_answer.cc": "tests/integration/compute_losses_test.cc",
    "server/rpc/loss_computation.cc": "tests/integration/compute_losses_test.cc",
    "server/rpc/loss_service.cc": "tests/integration/services_test.cc",
    "server/rpc/rpc_call.cc": "tests/integration/overload_test.cc",
    "server/rpc/rpc_threads.cc": "tests/integration/overload_test.cc",
    "server/rpc/stream_loss_call.cc": "tests/integration/stream_flow_test.cc",
    "server/rpc/stream_window.cc": "tests/server/rpc/stream_output_test.cc",
    "server/server.cc": "tests/integration/services_test.cc",
    "server/shared_memory/region_protocol.cc": "tests/server/shared_memory/region_socket_test.cc",
    "server/trace_export.cc": "tests/e2e/test_tracing.py",
    "server/tracing/otlp_http_exporter.cc": "tests/e2e/test_tracing.py",
    "server/signals.cc": "tests/e2e/test_server_process.py",
    "soak/loads.py": "tests/e2e/test_many_servers.py",
    "server/wire/field.cc": "tests/server/wire/request_parser_test.cc",
    "server/wire/sliced_message.cc": "tests/server/rpc/reply_writer_test.cc",
}

# These measure or soak: a run of `./dev bench`, `./dev gpu`, `./dev soak` or `./dev proxies` tries
# them, and no test stands for them.
MEASURING = (
    "soak/scenarios/",
    "soak/clients/",
    "soak/storm/",
    *(
        f"soak/{name}.py"
        for name in (
            "__main__",
            "certificates",
            "cgroup",
            "counterparts",
            "lossbench",
            "network",
            "samples",
            "server",
        )
    ),
    *(f"soak/proxies/{name}.py" for name in ("__main__", "calls", "fleet", "streams")),
    "bench/admission/",
    "bench/kernels/",
    *(f"bench/scaling/{name}.py" for name in ("__main__", "measure", "pictures")),
    "bench/pipeline/pipeline_bench.cc",
    "bench/peers/triton_model/",
    *(
        f"bench/{name}.py"
        for name in (
            "chart",
            "fleet_measurements",
            "job_measurements",
            "machine",
            "session_measurements",
            "overload",
            "peer_measurements",
            "programs",
            "proxy_measurements",
            "python_load",
            "python_measurements",
            "in_process",
            "jax_steps",
            "kernel_measurements",
            "torch_steps",
            "sweep",
            "sweep_charts",
            "torch_module",
            "tracing_measurements",
            "tree_objective",
            "triton_peer",
        )
    ),
)

# These folders of tests mirror no folder of sources, because they test the whole.
WHOLE = ("house", "e2e", "deploy", "integration", "fuzz", "judge", "tsan")

ROOMS = ("base", "element_type", "kernels", "server", "client", "bench", "soak")
SOURCES = (".cc", ".cu", ".py")
# These sources are entry points of programs, which the end-to-end tests start.
PROGRAMS = ("main.cc", "lossctl.cc", "lossbench.cc", "echo_server.cc", "protobuf_echo_server.cc")


def stem_of(source: str) -> str:
    return Path(source).name.split(".")[0].removesuffix("-inl")


def tests_of(source: str) -> set[str]:
    """Returns the paths that a source's own test may have."""
    folder, stem = Path("tests") / Path(source).parent, stem_of(source)
    if folder.parts[1:4] == ("client", "python", "lossd"):
        folder = Path("tests/client/python")
    return {str(folder / f"{stem}_test.cc"), str(folder / f"test_{stem}.py")}


def sources(files: list[str]) -> list[str]:
    return [
        name
        for name in files
        if name.startswith(tuple(f"{room}/" for room in ROOMS))
        and name.endswith(SOURCES)
        and not name.endswith("__init__.py")
        and Path(name).name not in PROGRAMS
        and not name.startswith(MEASURING)
    ]


def uncovered(files: list[str]) -> list[str]:
    """Returns the sources without a test."""
    known = set(files)
    return [
        name for name in sources(files) if not tests_of(name) & known and name not in COVERED_BY
    ]


def stale(files: list[str]) -> list[str]:
    """Returns the entries of COVERED_BY that name a missing file or a source with its own test."""
    known = set(files)
    return [
        source
        for source, test in COVERED_BY.items()
        if source not in known or test not in known or tests_of(source) & known
    ]


def strays(files: list[str]) -> list[str]:
    """Returns the tests in a folder that mirrors no folder of sources."""
    folders = {str(Path(name).parent) for name in files if name.startswith(ROOMS)}
    folders.add("client/python")
    tests = [name for name in files if name.endswith("_test.cc") or "/test_" in name]
    return [
        name
        for name in tests
        if len(name.split("/")) > 2
        and name.split("/")[1] not in WHOLE
        and str(Path(name).parent.relative_to("tests")) not in folders
    ]
