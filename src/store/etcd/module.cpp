// The module: Wire over gRPC. Nothing here may need a symbol of stator (store/etcd/wire.hpp).
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include "etcd.grpc.pb.h"
#include "store/etcd/messages.hpp"
#include "store/etcd/watch_call.hpp"
#include "store/etcd/wire.hpp"

namespace stator::store::etcd {

namespace {

namespace pb = etcdserverpb;

/// What is larger is refused before it is read, and asked for in smaller pages: each comes in well
/// within the time of an attempt.
constexpr int max_message_size = 16 << 20U;
// Of the channel, which dials again by itself: from a little to a few seconds, with jitter.
constexpr int least_redial_ms = 200;
constexpr int most_redial_ms = 3000;
constexpr int dial_timeout_ms = 2000;

std::shared_ptr<grpc::ChannelCredentials> credentials(const WireOptions& options) {
    if (!options.tls) return grpc::InsecureChannelCredentials();
    return grpc::SslCredentials({options.ca, options.key, options.certificate});
}

std::shared_ptr<grpc::Channel> dial(const WireOptions& options) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(max_message_size);
    arguments.SetMaxSendMessageSize(max_message_size);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, least_redial_ms);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, dial_timeout_ms);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, most_redial_ms);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // a member is reached directly
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    if (options.ping_interval.count() > 0) {
        arguments.SetInt(
            GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.ping_interval.count())
        );
        arguments.SetInt(
            GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(options.ping_timeout.count())
        );
        arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    return grpc::CreateCustomChannel(options.target, credentials(options), arguments);
}

/// Channels are kept for good, so that whoever comes back to a member finds it connected. (Nor does
/// gRPC stand the end of its last channel: it joins the threads on which that may come about.) One
/// that is not used is silent, and does not dial.
std::shared_ptr<grpc::Channel> channel_to(const WireOptions& options) {
    using Key = std::tuple<std::string, bool, std::string, std::string, std::string, long, long>;
    static std::mutex lock;
    static auto& channels = *new std::map<Key, std::shared_ptr<grpc::Channel>>;
    const std::lock_guard guard{lock};
    auto& channel = channels[Key{
        options.target,
        options.tls,
        options.ca,
        options.certificate,
        options.key,
        options.ping_interval.count(),
        options.ping_timeout.count()
    }];
    if (!channel) channel = dial(options);
    return channel;
}

/// One request and one answer. Alive until it has answered: the callback holds it.
template <class Request, class Response>
class UnaryCall : public Call {
public:
    UnaryCall(Request request_, const CallOptions& options) : request{std::move(request_)} {
        prepare(context, options);
        context.set_deadline(std::chrono::system_clock::now() + options.timeout);
    }
    void cancel() noexcept override { context.TryCancel(); }

    grpc::ClientContext context;
    const Request request;
    Response response;
};

/// LeaseKeepAlive is a stream; one renewal is its first message each way.
class KeepAliveCall final
    : public Call,
      public grpc::ClientBidiReactor<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>,
      public std::enable_shared_from_this<KeepAliveCall> {
public:
    KeepAliveCall(
        const KeepAliveRequest& request, const CallOptions& options, Wire::Done<KeepAliveReply> done
    )
        : request_{to_message(request)}, done_{std::move(done)} {
        prepare(context_, options);
        context_.set_deadline(std::chrono::system_clock::now() + options.timeout);
    }
    void start(pb::Lease::Stub& stub) {
        self_ = shared_from_this();
        stub.async()->LeaseKeepAlive(&context_, this);
        StartWriteLast(&request_, {});
        StartRead(&response_);
        StartCall();
    }
    void cancel() noexcept override { context_.TryCancel(); }

    void OnReadDone(bool ok) override { answered_ = ok; }
    void OnDone(const grpc::Status& status) override {
        Answer<KeepAliveReply> answer{status_of(status), {}};
        if (answered_) {
            answer.status = {};
            answer.reply = to_value(response_);
        } else if (status.ok()) {
            answer.status = {grpc::UNAVAILABLE, "the stream ended without an answer"};
        }
        done_(std::move(answer));
        self_.reset();  // the last thing: nobody else may hold it
    }

private:
    grpc::ClientContext context_;
    pb::LeaseKeepAliveRequest request_;
    pb::LeaseKeepAliveResponse response_;
    Wire::Done<KeepAliveReply> done_;
    bool answered_ = false;
    std::shared_ptr<KeepAliveCall> self_;
};

class GrpcWire final : public Wire {
public:
    explicit GrpcWire(const WireOptions& options)
        : channel_{channel_to(options)},
          kv_{channel_},
          lease_{channel_},
          watch_{channel_},
          auth_{channel_},
          maintenance_{channel_} {}

    Handle start(
        const EtcdTransaction& request, const CallOptions& options, Done<EtcdTransactionReply> done
    ) override {
        return unary<pb::TxnResponse>(request, options, std::move(done), [this](auto&&... call) {
            kv_.async()->Txn(std::forward<decltype(call)>(call)...);
        });
    }
    Handle start(const GrantRequest& request, const CallOptions& options, Done<GrantReply> done)
        override {
        return unary<pb::LeaseGrantResponse>(
            request,
            options,
            std::move(done),
            [this](auto&&... call) {
                lease_.async()->LeaseGrant(std::forward<decltype(call)>(call)...);
            }
        );
    }
    Handle start(const RevokeRequest& request, const CallOptions& options, Done<HeaderReply> done)
        override {
        return unary<pb::LeaseRevokeResponse>(
            request,
            options,
            std::move(done),
            [this](auto&&... call) {
                lease_.async()->LeaseRevoke(std::forward<decltype(call)>(call)...);
            }
        );
    }
    Handle start(
        const KeepAliveRequest& request, const CallOptions& options, Done<KeepAliveReply> done
    ) override {
        auto call = std::make_shared<KeepAliveCall>(request, options, std::move(done));
        call->start(lease_);
        return call;
    }
    Handle start(
        const LeaseKeysRequest& request, const CallOptions& options, Done<LeaseKeysReply> done
    ) override {
        return unary<pb::LeaseTimeToLiveResponse>(
            request,
            options,
            std::move(done),
            [this](auto&&... call) {
                lease_.async()->LeaseTimeToLive(std::forward<decltype(call)>(call)...);
            }
        );
    }
    Handle start(const CompactRequest& request, const CallOptions& options, Done<HeaderReply> done)
        override {
        return unary<pb::CompactionResponse>(
            request,
            options,
            std::move(done),
            [this](auto&&... call) { kv_.async()->Compact(std::forward<decltype(call)>(call)...); }
        );
    }
    Handle start(const StatusRequest& request, const CallOptions& options, Done<StatusReply> done)
        override {
        return unary<pb::StatusResponse>(request, options, std::move(done), [this](auto&&... call) {
            maintenance_.async()->Status(std::forward<decltype(call)>(call)...);
        });
    }
    Handle start(
        const AuthenticateRequest& request, const CallOptions& options, Done<AuthenticateReply> done
    ) override {
        return unary<pb::AuthenticateResponse>(
            request,
            options,
            std::move(done),
            [this](auto&&... call) {
                auth_.async()->Authenticate(std::forward<decltype(call)>(call)...);
            }
        );
    }
    std::shared_ptr<WatchCall> watch(const CallOptions& options, WatchHandlers handlers) override {
        return start_watch(watch_, options, std::move(handlers));
    }

private:
    template <class Response, class Request, class Reply, class Begin>
    static Handle unary(
        const Request& request, const CallOptions& options, Done<Reply> done, const Begin& begin
    ) {
        using Message = decltype(to_message(request));
        auto call = std::make_shared<UnaryCall<Message, Response>>(to_message(request), options);
        // std::function wants to be copyable.
        auto tell = std::make_shared<Done<Reply>>(std::move(done));
        begin(&call->context, &call->request, &call->response, [call, tell](grpc::Status status) {
            Answer<Reply> answer{status_of(status), {}};
            if (status.ok()) answer.reply = to_value(call->response);
            (*tell)(std::move(answer));
        });
        return call;
    }

    const std::shared_ptr<grpc::Channel> channel_;
    pb::KV::Stub kv_;
    pb::Lease::Stub lease_;
    pb::Watch::Stub watch_;
    pb::Auth::Stub auth_;
    pb::Maintenance::Stub maintenance_;
};

}  // namespace

}  // namespace stator::store::etcd

#define STATOR_MODULE_EXPORT extern "C" __attribute__((visibility("default")))

STATOR_MODULE_EXPORT int stator_etcd_module_version() {
    // gRPC would print a line for each attempt that fails; what fails is in the status of the call.
    static const bool quiet = [] {
        if (std::getenv("GRPC_VERBOSITY") == nullptr)
            gpr_set_log_verbosity(static_cast<gpr_log_severity>(GPR_LOG_SEVERITY_ERROR + 1));
        return true;
    }();
    return quiet ? stator::store::etcd::module_version : 0;
}

STATOR_MODULE_EXPORT stator::store::etcd::Wire* stator_etcd_dial(
    const stator::store::etcd::WireOptions* options
) {
    return std::make_unique<stator::store::etcd::GrpcWire>(*options).release();
}
