// The items of a request that is a stream, on their own connection to the worker.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "stator/transport/call_home_server.hpp"
#include "transport/dynamo_link.hpp"

namespace stator::transport {

/// What is put before the worker has connected waits for it. Part of its exchange, which its task
/// keeps alive. Loop-affine.
class DynamoInputStream final : public DynamoLinkUser, public HomeCall {
public:
    /// Told when more may be put, or nothing is wanted any more.
    class Owner {
    public:
        virtual ~Owner() = default;
        virtual void input_writable() noexcept = 0;
        /// Keeps the exchange, and this with it.
        virtual std::shared_ptr<void> keep() = 0;
        virtual TaskScope& tasks() = 0;
    };
    DynamoInputStream(Owner& owner, std::shared_ptr<CallHomeServer> home);
    ~DynamoInputStream() override;

    CallHomeServer::Subject subject() const noexcept { return *subject_; }
    /// One value in the request's codec. False: nobody reads it any more.
    bool put(Bytes item);
    bool full() const noexcept { return link_.full(); }
    /// No further item follows.
    void half_close();
    void stop();
    /// The call is over: with a kill if the worker does not know.
    void close(bool kill) noexcept;

private:
    void on_home(net::Accepted connection, Bytes rest) noexcept override;
    std::size_t space(std::array<iovec, 2>& vectors) override;
    /// The worker has nothing to say here.
    void received(std::size_t) override {}
    void peer_finished() noexcept override;
    void writable() noexcept override;
    void lost(const Error& why) noexcept override;
    void forget() noexcept;
    static Task<> run(
        std::shared_ptr<void> keep, DynamoInputStream* self, std::unique_ptr<net::Stream> stream
    );

    Owner& owner_;
    const std::shared_ptr<CallHomeServer> home_;
    std::optional<CallHomeServer::Subject> subject_;  // while the worker has not connected
    std::array<std::byte, 64> ignored_{};
    bool connected_ = false;
    bool unwanted_ = false;
    DynamoLink link_;
};

}  // namespace stator::transport
