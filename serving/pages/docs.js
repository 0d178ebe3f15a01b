"use strict";
const key = sessionStorage.getItem("gan-service key"); // that of the playground, for this tab only
const ui = SwaggerUIBundle({
  url: "openapi.json", dom_id: "#api", deepLinking: true, tryItOutEnabled: true, validatorUrl: null,
  onComplete: () => { if (key) ui.preauthorizeApiKey("key", key); },
  requestInterceptor: request => { // headers take bytes: the key's in UTF-8
    const {Authorization} = request.headers;
    if (Authorization) request.headers.Authorization = String.fromCharCode(...new TextEncoder().encode(Authorization));
    return request;
  },
});
