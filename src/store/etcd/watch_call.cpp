#include "store/etcd/watch_call.hpp"

#include <deque>
#include <mutex>
#include <utility>

#include "store/etcd/messages.hpp"

namespace stator::store::etcd {

void prepare(grpc::ClientContext& context, const CallOptions& options) {
    if (!options.token.empty()) context.AddMetadata("token", options.token);
    context.AddMetadata("hasleader", "true");
}

Status status_of(const grpc::Status& status) {
    return {static_cast<int>(status.error_code()), status.error_message()};
}

namespace {

namespace pb = etcdserverpb;

/// One write and one read under way at most. A hold keeps gRPC from ending it while others may
/// still start something, which they do under the lock: it is given back after `over_` is set, when
/// a read fails, or at `cancel` if none is under way. gRPC calls back on threads of its own only.
class GrpcWatch final : public WatchCall,
                        public grpc::ClientBidiReactor<pb::WatchRequest, pb::WatchResponse>,
                        public std::enable_shared_from_this<GrpcWatch> {
public:
    GrpcWatch(const CallOptions& options, WatchHandlers handlers) : handlers_{std::move(handlers)} {
        prepare(context_, options);
    }
    void start(pb::Watch::Stub& stub) {
        self_ = shared_from_this();
        stub.async()->Watch(&context_, this);
        AddHold();
        StartCall();
    }

    void create(const WatchTarget& target) override { send(to_message(target)); }
    void drop(std::int64_t id) override {
        pb::WatchRequest request;
        request.mutable_cancel_request()->set_watch_id(id);
        send(std::move(request));
    }
    void request_progress() override {
        pb::WatchRequest request;
        request.mutable_progress_request();
        send(std::move(request));
    }
    void next() override {
        const std::lock_guard guard{lock_};
        if (over_ || reading_) return;
        reading_ = true;
        StartRead(&response_);
    }
    void cancel() noexcept override {
        context_.TryCancel();
        bool release = false;
        {
            const std::lock_guard guard{lock_};
            release = !over_ && !reading_;
            over_ = true;
        }
        if (release) RemoveHold();
    }

    void OnReadDone(bool ok) override {
        if (ok) {
            auto message = to_value(response_);
            response_.Clear();
            bool over = false;
            {
                const std::lock_guard guard{lock_};
                reading_ = false;
                over = over_;
            }
            // Cancelled meanwhile: nobody listens any more.
            if (over) {
                RemoveHold();
            } else {
                handlers_.message(std::move(message));
            }
            return;
        }
        {
            const std::lock_guard guard{lock_};
            reading_ = false;
            over_ = true;
        }
        RemoveHold();
    }
    void OnWriteDone(bool ok) override {
        const pb::WatchRequest* more = nullptr;
        {
            const std::lock_guard guard{lock_};
            waiting_.pop_front();
            if (ok && !over_ && !waiting_.empty()) more = &waiting_.front();
            if (!ok) waiting_.clear();
        }
        if (more != nullptr) StartWrite(more);
    }
    void OnDone(const grpc::Status& status) override {
        handlers_.ended(status_of(status));
        self_.reset();  // the last thing: nobody else may hold it
    }

private:
    void send(pb::WatchRequest request) {
        const std::lock_guard guard{lock_};
        if (over_) return;
        waiting_.push_back(std::move(request));
        if (waiting_.size() == 1) StartWrite(&waiting_.front());
    }

    grpc::ClientContext context_;
    WatchHandlers handlers_;
    pb::WatchResponse response_;
    std::mutex lock_;
    std::deque<pb::WatchRequest> waiting_;  // the first is being written
    bool reading_ = false;
    bool over_ = false;
    std::shared_ptr<GrpcWatch> self_;
};

}  // namespace

std::shared_ptr<WatchCall> start_watch(
    pb::Watch::Stub& stub, const CallOptions& options, WatchHandlers handlers
) {
    auto call = std::make_shared<GrpcWatch>(options, std::move(handlers));
    call->start(stub);
    return call;
}

}  // namespace stator::store::etcd
