// Declarations of what user headers tend to name, without what they need.
#pragma once

namespace rill {

template <class T>
class task;
template <class T>
class async_generator;
template <class T>
class channel;
template <class T>
class broadcast;
class task_scope;
class cancellation_source;
class cancellation_token;
class scheduler;
struct task_context;

template <class T>
class result;
class status_error;
class metadata;
class payload;
template <class T>
class encoded;
struct call_options;
class connector;

class server;
class server_context;
template <class T>
class reader;
template <class T>
class writer;

class client;
template <class Response, class Held>
class unary_call;
template <class Response>
class server_stream;
template <class Request, class Response>
class client_stream;
template <class Request, class Response>
class bidi_stream;

}  // namespace rill
