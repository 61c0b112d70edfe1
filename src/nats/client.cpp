#include "stator/nats/client.hpp"

#include <array>
#include <utility>

#include "nats/module_loader.hpp"
#include "nats/session.hpp"
#include "stator/base/random.hpp"
#include "stator/runtime/on_loop.hpp"

namespace stator::nats {

namespace {

/// What handles hold: the session is kept by its thread, too, and has to know when only that is
/// left.
struct Owner {
    explicit Owner(std::shared_ptr<Session> session_) : session{std::move(session_)} {}
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;
    ~Owner() { session->abandon(); }
    const std::shared_ptr<Session> session;
};

std::shared_ptr<Session> owned(std::shared_ptr<Session> session) {
    auto* const place = session.get();
    return {std::make_shared<Owner>(std::move(session)), place};
}

}  // namespace

Client::Client(std::shared_ptr<Session> session) noexcept : session_{std::move(session)} {}

Task<Client> Client::connect(Loop& loop, ClientOptions options) {
    return on_loop(loop, connect_here(&loop, std::move(options)));
}

Task<Client> Client::connect_here(Loop* loop, ClientOptions options) {
    if (const auto good = options.check(); !good) throw good.error();
    auto make = load_module(options.module);
    if (!make) throw make.error();
    Client client{owned(std::make_shared<Session>(*loop, std::move(options)))};
    co_await client.session_->open(std::move(*make));
    co_return client;
}

Result<void> Client::publish(Publication message) const {
    return session_->publish(std::move(message));
}

Result<void> Client::queue(Publication message) const {
    return session_->queue(std::move(message));
}

void Client::send_queued() const noexcept { session_->send_queued(); }

Task<Message> Client::request(Publication message, Deadline deadline) const {
    return session_->request(std::move(message), deadline);
}

Task<Message> Client::request(Publication message) const {
    return session_->request(std::move(message), Deadline::in(session_->options().request_timeout));
}

Task<Subscription> Client::subscribe(SubscribeOptions options) const {
    return session_->subscribe(std::move(options));
}

Task<> Client::flush(Deadline deadline) const { return session_->flush(deadline); }

ConnectionState Client::state() const noexcept { return session_->state(); }
ClientCounts Client::counts() const noexcept { return session_->counts(); }
std::size_t Client::max_payload() const noexcept { return session_->max_payload(); }
std::string Client::server() const { return session_->server(); }
Loop& Client::loop() const noexcept { return session_->loop(); }
Task<> Client::close(Deadline deadline) const { return session_->close(deadline); }

std::string Client::new_inbox() {
    constexpr std::string_view letters =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    constexpr std::size_t length = 22;
    std::string inbox{"_INBOX."};
    for (std::size_t i = 0; i < length; ++i)
        inbox += letters[thread_random().below(letters.size())];
    return inbox;
}

// ---- Subscription

Subscription::Subscription(
    std::shared_ptr<Session> session, std::shared_ptr<Mailbox> mailbox
) noexcept
    : session_{std::move(session)}, mailbox_{std::move(mailbox)} {}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
    if (this == &other) return *this;
    close();
    session_ = std::move(other.session_);
    mailbox_ = std::move(other.mailbox_);
    return *this;
}

Subscription::~Subscription() { close(); }

void Subscription::close() noexcept {
    if (mailbox_) session_->unsubscribe(mailbox_);
}

void Subscription::drain() noexcept {
    if (mailbox_) session_->drain(mailbox_);
}

Task<std::optional<Message>> Subscription::next() const {
    return [](std::shared_ptr<Mailbox> mailbox) -> Task<std::optional<Message>> {
        co_return co_await mailbox->next();
    }(mailbox_);
}

std::optional<Message> Subscription::try_next() const { return mailbox_->take(); }
std::size_t Subscription::waiting() const noexcept { return mailbox_->size(); }
std::uint64_t Subscription::dropped() const noexcept { return mailbox_->dropped(); }

}  // namespace stator::nats
