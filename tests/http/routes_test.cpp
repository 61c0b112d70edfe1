// Which handler a path belongs to.
#include "stator/http/routes.hpp"

#include <gtest/gtest.h>

namespace stator::http {
namespace {

Task<Response> nothing(Request) { co_return Response{}; }

struct Found {
    bool any = false;
    Fields parameters{};
    std::string allowed{};
};

Found find(const Routes& routes, Method method, std::string_view path) {
    auto match = routes.find(method, path);
    if (!match) return {.parameters = {{"error", match.error().detail()}}};
    return {match->handler != nullptr, match->parameters, match->allowed};
}

TEST(RoutesOf, PathsFitWhole) {
    Routes routes;
    routes.add(Method::get, "/", nothing).add(Method::get, "/live", nothing);
    EXPECT_TRUE(find(routes, Method::get, "/").any);
    EXPECT_TRUE(find(routes, Method::get, "/live").any);
    EXPECT_TRUE(find(routes, Method::get, "/l%69ve").any);
    for (const auto* path : {"", "live", "/liv", "/live/", "/live/x", "//live", "/LIVE", "//"})
        EXPECT_FALSE(find(routes, Method::get, path).any) << path;
}

TEST(RoutesOf, ParametersAreTakenAndDecoded) {
    Routes routes;
    routes.add(Method::get, "/a/{one}/b/{two}", nothing).add(Method::post, "/e/{rest...}", nothing);
    EXPECT_EQ(
        find(routes, Method::get, "/a/x%20y/b/z").parameters, (Fields{{"one", "x y"}, {"two", "z"}})
    );
    EXPECT_EQ(find(routes, Method::post, "/e/x/y%2Fz").parameters, (Fields{{"rest", "x/y/z"}}));
    for (const auto* path : {"/a//b/z", "/a/x/b/", "/a/x/b", "/a/x/c/z"})
        EXPECT_FALSE(find(routes, Method::get, path).any) << path;
    EXPECT_FALSE(find(routes, Method::post, "/e/").any);
    EXPECT_FALSE(find(routes, Method::post, "/e").any);
    EXPECT_EQ(find(routes, Method::get, "/a/%/b/z").parameters, (Fields{{"error", "http.escape"}}));
}

TEST(RoutesOf, HeadIsServedByGetAndOtherMethodsAreNamed) {
    Routes routes;
    routes.add(Method::get, "/a", nothing).add(Method::post, "/a", nothing);
    routes.add(Method::post, "/b", nothing);
    EXPECT_TRUE(find(routes, Method::head, "/a").any);
    EXPECT_EQ(find(routes, Method::other, "/a").allowed, "GET, HEAD, POST");
    EXPECT_EQ(find(routes, Method::get, "/b").allowed, "POST");
    EXPECT_EQ(find(routes, Method::get, "/c").allowed, "");
}

TEST(RoutesOf, BadPatternsAreRefused) {
    Routes routes;
    for (const auto* pattern : {"", "a", "/{rest...}/b"})
        EXPECT_THROW(routes.add(Method::get, pattern, nothing), Error) << pattern;
}

}  // namespace
}  // namespace stator::http
