#include "stator/http/client.hpp"

#include <array>
#include <utility>

#include "http/message_reader.hpp"
#include "http/message_text.hpp"
#include "http/write_all.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::http {

struct Client::State {
    std::unique_ptr<net::Stream> stream;
    std::string host;
    MessageLimits limits;
    bool usable = true;

    Task<Response> exchange(Request request);
};

Task<Response> Client::State::exchange(Request request) {
    co_await write_all(stream.get(), text_of(request, host));
    ResponseReader reader{request.method, limits};
    std::array<char, 16U << 10U> space;
    const iovec part{space.data(), space.size()};
    for (;;) {
        auto response = reader.poll();
        if (!response) throw response.error();
        if (auto& complete = *response) {
            usable = reader.keep_alive();
            co_return std::move(*complete);
        }
        const auto size = co_await stream->read_some({&part, 1});
        if (size == 0) {
            auto last = reader.finish();
            if (!last) throw last.error();
            co_return std::move(*last);
        }
        reader.feed({space.data(), size});
    }
}

Client::Client(std::unique_ptr<State> state) noexcept : state_{std::move(state)} {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Task<Client> Client::connect(net::Address address, Options options) {
    auto stream = co_await options.security.dial(address);
    co_return Client{std::make_unique<State>(State{
        .stream = std::move(stream),
        .host = address.to_string(),
        .limits = options.limits,
    })};
}

bool Client::usable() const noexcept { return state_->usable; }

Task<Response> Client::send(Request request) {
    if (!std::exchange(state_->usable, false)) {
        throw Error{
            ErrorCode::disconnected, "http.disconnected", "the connection is of no more use"
        };
    }
    co_return co_await state_->exchange(std::move(request));
}

Task<Response> fetch(net::Address address, Request request, Client::Options options) {
    request.fields.emplace_back("Connection", "close");
    auto client = co_await Client::connect(std::move(address), std::move(options));
    co_return co_await client.send(std::move(request));
}

}  // namespace stator::http
