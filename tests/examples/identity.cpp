// Who a bearer token belongs to.
#include "chat/server/identity.hpp"

#include <rill/rpc/status.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr const char* token_of_ada = "correct-horse-battery";
constexpr const char* token_of_bob = "staple-and-something-else";

chat::token_book book() {
  chat::token_book tokens;
  tokens.add("ada", token_of_ada);
  tokens.add("bob", token_of_bob);
  return tokens;
}

std::string who(const std::string& header) { return book().identify({{"authorization", header}}); }

}  // namespace

TEST_CASE("chat: a token names its member") {
  CHECK(who(std::string{"Bearer "} + token_of_ada) == "ada");
  CHECK(who(std::string{"Bearer "} + token_of_bob) == "bob");
}

TEST_CASE("chat: anything else names nobody, and the status repeats no secret") {
  const std::string token = token_of_ada;
  for (const std::string& header : std::vector<std::string>{
           std::string{}, token, std::string{"Bearer"}, std::string{"Bearer "}, "Bearer  " + token,
           "bearer:" + token, "Bearer " + token + "x", "Bearer " + token.substr(1),
           "Bearer " + token.substr(0, token.size() - 1), "Basic " + token}) {
    CAPTURE(header);
    try {
      who(header);
      FAIL("accepted");
    } catch (const rill::status_error& refused) {
      CHECK(refused.code() == rill::status_code::UNAUTHENTICATED);
      CHECK(refused.message().find(token.substr(1, 8)) == std::string::npos);
    }
  }
  CHECK_THROWS_AS(static_cast<void>(book().identify({})), rill::status_error);
}

TEST_CASE("chat: two identities at once are refused") {
  const rill::metadata both{{"authorization", std::string{"Bearer "} + token_of_ada},
                            {"authorization", std::string{"Bearer "} + token_of_bob}};
  CHECK_THROWS_AS(static_cast<void>(book().identify(both)), rill::status_error);
}

TEST_CASE("chat: a book takes no weak or ambiguous entries") {
  chat::token_book tokens = book();
  CHECK_THROWS_AS(tokens.add("carol", "short"), std::invalid_argument);
  CHECK_THROWS_AS(tokens.add("carol", token_of_ada), std::invalid_argument);
  CHECK_THROWS_AS(tokens.add("", "long-enough-as-a-token"), std::invalid_argument);
  CHECK_THROWS_AS(tokens.add("two words", "long-enough-as-a-token"), std::invalid_argument);
  CHECK_THROWS_AS(tokens.add("\x1b[2J", "long-enough-as-a-token"), std::invalid_argument);
}
