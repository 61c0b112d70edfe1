#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include "grpc/peer.hpp"
#include "load.grpc.pb.h"

namespace bench::grpc_peer {
namespace {

// One stream. gRPC owns it from the handler's return to OnDone, which deletes it.
class Generator final : public grpc::ServerWriteReactor<Item> {
public:
    Generator(const Request& request, bool may_buffer)
        : request_{request},
          may_buffer_{may_buffer && request.pace_us() == 0},
          began_{std::chrono::system_clock::now()} {
        item_.set_payload(std::string(request.size(), 'x'));
        if (request_.items() == 0) {
            Finish(grpc::Status{grpc::StatusCode::INVALID_ARGUMENT, "items must be at least 1"});
        } else {
            advance();
        }
    }

    void OnWriteDone(bool ok) override {
        if (ok) {
            advance();
        } else {
            Finish(grpc::Status::CANCELLED);
        }
    }
    void OnDone() override { delete this; }

private:
    void advance() {
        if (request_.pace_us() == 0) {
            write();
            return;
        }
        const auto due = began_ + std::chrono::microseconds{request_.pace_us()} * (sent_ + 1);
        alarm_.Set(due, [this](bool) { write(); });
    }

    // Writes that another one follows at once may wait for it, and the last one carries the status.
    // Not the first: it carries the headers, and gRPC 1.51 never completes a buffered write of
    // those.
    void write() {
        ++sent_;
        if (sent_ == request_.items()) {
            StartWriteAndFinish(&item_, grpc::WriteOptions{}, grpc::Status::OK);
        } else if (may_buffer_ && sent_ > 1) {
            StartWrite(&item_, grpc::WriteOptions{}.set_buffer_hint());
        } else {
            StartWrite(&item_);
        }
    }

    Request request_;
    bool may_buffer_;
    Item item_;
    std::chrono::system_clock::time_point began_;
    grpc::Alarm alarm_;
    std::uint32_t sent_ = 0;
};

// One held stream: an item, then nothing until the caller has gone.
class Holder final : public grpc::ServerWriteReactor<Item> {
public:
    Holder(const Request& request, std::atomic<std::uint32_t>& held, std::uint32_t limit)
        : held_{held} {
        if (++held_ > limit && limit != 0) {
            finished_ = true;
            Finish(grpc::Status{grpc::StatusCode::RESOURCE_EXHAUSTED, "at the limit"});
            return;
        }
        item_.set_payload(std::string(request.size(), 'x'));
        StartWrite(&item_);
    }
    void OnWriteDone(bool ok) override {
        if (!ok) finish();
    }
    void OnCancel() override { finish(); }
    void OnDone() override {
        --held_;
        delete this;
    }

private:
    void finish() {
        if (!finished_.exchange(true)) Finish(grpc::Status::CANCELLED);
    }
    std::atomic<std::uint32_t>& held_;
    std::atomic<bool> finished_{false};
    Item item_;
};

class Service final : public Load::CallbackService {
public:
    explicit Service(const ServeOptions& options) : options_{options} {}

private:
    grpc::ServerUnaryReactor* Echo(
        grpc::CallbackServerContext* context, const Request* request, Item* reply
    ) override {
        reply->set_payload(request->payload());
        auto* reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    grpc::ServerUnaryReactor* Take(
        grpc::CallbackServerContext* context, const Request*, Item* reply
    ) override {
        reply->set_payload(std::string(bulk_reply_size, 'x'));
        auto* reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    grpc::ServerWriteReactor<Item>* Hold(grpc::CallbackServerContext*, const Request* request)
        override {
        return new Holder{*request, held_, options_.limit};
    }

    grpc::ServerWriteReactor<Item>* Generate(grpc::CallbackServerContext*, const Request* request)
        override {
        return new Generator{*request, !options_.unbuffered};
    }

    const ServeOptions options_;
    std::atomic<std::uint32_t> held_{0};
};

}  // namespace

int serve(const ServeOptions& options) {
    Service service{options};
    int port = 0;
    grpc::ServerBuilder builder;
    const auto address = "127.0.0.1:" + std::to_string(options.port);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    for (const char* name : unneeded) builder.AddChannelArgument(name, 0);
    builder.AddChannelArgument(GRPC_ARG_MINIMAL_STACK, 1);
    builder.RegisterService(&service);
    const auto server = builder.BuildAndStart();
    if (!server || port == 0) {
        std::fputs("error: gRPC could not listen on 127.0.0.1\n", stderr);
        return 1;
    }
    announce(port);
    server->Wait();
    return 0;
}

}  // namespace bench::grpc_peer
