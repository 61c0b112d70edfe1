// Does this compiler generate correct coroutines? Exits 0 if so, else with the sum of:
// - 1: a coroutine without locals that branches on an awaited bool takes the wrong branch;
// - 2: a closure passed by value within a co_await expression is destroyed twice.
// g++ 12 has both defects. No library of ours, so that it runs before anything is configured.
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace {

template <class T>
class Job {
public:
    struct promise_type {
        std::optional<T> result;
        std::coroutine_handle<> waiter = std::noop_coroutine();

        struct HandBack {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done
            ) const noexcept {
                return done.promise().waiter;
            }
            void await_resume() const noexcept {}
        };

        Job get_return_object() {
            return Job{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        HandBack final_suspend() const noexcept { return {}; }
        void return_value(T value) { result.emplace(std::move(value)); }
        void unhandled_exception() { std::terminate(); }
    };

    Job(Job&& other) noexcept : frame_{std::exchange(other.frame_, nullptr)} {}
    Job(const Job&) = delete;
    Job& operator=(Job) = delete;
    ~Job() {
        if (frame_) frame_.destroy();
    }

    T run() {
        frame_.resume();
        return *frame_.promise().result;
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
        frame_.promise().waiter = waiter;
        return frame_;
    }
    T await_resume() { return std::move(*frame_.promise().result); }

private:
    explicit Job(std::coroutine_handle<promise_type> frame) : frame_{frame} {}
    std::coroutine_handle<promise_type> frame_;
};

Job<bool> answer(bool value) { co_return value; }

Job<int> negated_branch(bool value) {
    if (!co_await answer(value)) co_return 10;
    co_return 20;
}

Job<int> plain_branch(bool value) {
    if (co_await answer(value)) co_return 20;
    co_return 10;
}

// The worst case has no parameter either, so that the frame holds nothing but the awaited job.
Job<int> frame_of_one_job() {
    if (!co_await answer(true)) co_return 10;
    co_return 20;
}

bool branches_right() {
    return frame_of_one_job().run() == 20 && negated_branch(true).run() == 20 &&
           negated_branch(false).run() == 10 && plain_branch(true).run() == 20 &&
           plain_branch(false).run() == 10;
}

int alive = 0;

struct Counted {
    Counted() { ++alive; }
    Counted(const Counted&) { ++alive; }
    Counted(Counted&&) noexcept { ++alive; }
    Counted& operator=(Counted) = delete;
    ~Counted() { --alive; }
};

template <class F>
Job<int> call(F f) {
    co_return f();
}

Job<int> pass_closure() {
    Counted counted;
    const int got = co_await call([counted] { return 1; });
    co_return got + co_await call([counted, got] { return got; });
}

bool closures_balanced() { return pass_closure().run() == 2 && alive == 0; }

}  // namespace

int main() { return (branches_right() ? 0 : 1) + (closures_balanced() ? 0 : 2); }
