#include "component/remote_control.hpp"

#include <utility>

#include "component/cluster_state.hpp"
#include "stator/component/control.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/mux_call.hpp"
#include "stator/transport/mux_server_call.hpp"

namespace stator::inline component {

namespace {

Result<void> check_allowed(const DistributedConfig& config, const transport::ServerCall& call) {
    if (dynamic_cast<const transport::MuxServerCall*>(&call) == nullptr)
        return fail(ErrorCode::unimplemented, "control.plane", "control is served on the mux only");
    return check_control(config.remote_control, config.security);
}

Task<std::string> obey(std::shared_ptr<observe::Health> health, transport::ServerCall* call) {
    const auto text = co_await call->next();
    const auto request = control_request_from_json(text ? text->view() : std::string_view{});
    if (!request) throw request.error();
    co_return co_await control(std::move(health), *request);
}

Task<> serve(
    std::unique_ptr<transport::ServerCall> taken, std::shared_ptr<observe::Health> health
) {
    const auto call = std::move(taken);  // it dies here, on its loop
    const auto report = co_await as_result(obey(std::move(health), call.get()));
    if (report) {
        (void)call->send(Bytes::copy_of(*report), true);
    } else {
        call->fail(report.error());
    }
}

Task<std::string> ask(
    std::shared_ptr<ClusterState> cluster, discovery::MuxAddress where, std::string request
) {
    if (const auto suits = cluster->security().suits(where.address, where.tls); !suits)
        throw suits.error();
    transport::MuxCall call{co_await cluster->pool().connect(where.address)};
    transport::CallHead head;
    head.path = control_path;
    head.request = RequestId::random();
    head.codec = static_cast<std::uint8_t>(PayloadCodec::json);
    if (auto sent = call.open(head, Bytes::copy_of(request)); !sent) throw sent.error();
    auto report = co_await call.next();
    if (!report) throw Error{ErrorCode::protocol, "control.no_answer", "the answer is empty"};
    co_return std::string{report->view()};
}

}  // namespace

Result<void> check_control(bool enabled, const net::Security& security) {
    if (!enabled) {
        return fail(
            ErrorCode::permission_denied,
            "control.disabled",
            "this process takes no orders: DYN_WORKER_REMOTE_CONTROL is not set"
        );
    }
    if (security.serves_tls() && !security.verifies_clients()) {
        return fail(
            ErrorCode::permission_denied,
            "control.no_certificate",
            "under TLS only who shows a certificate gives orders: DYN_TCP_TLS_CLIENT_CA_CERT_PATH "
            "is not set"
        );
    }
    return {};
}

Result<transport::Serving> serve_control(
    const DistributedConfig& config, std::unique_ptr<transport::ServerCall>& call
) {
    if (auto allowed = check_allowed(config, *call); !allowed)
        return std::unexpected{allowed.error()};
    return transport::Serving{.task = serve(std::move(call), config.health_of_process())};
}

Task<std::string> DistributedRuntime::control(discovery::MuxAddress where, ControlRequest request)
    const {
    return ask(state_, std::move(where), to_json(request));
}

}  // namespace stator::inline component
