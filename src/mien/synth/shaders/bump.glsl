// Turns the normal by a height that varies on the surface (Mikkelsen 2010).
vec3 bump(vec3 n, vec3 position, float height) {
    vec3 dx = dFdx(position), dy = dFdy(position);
    vec3 r1 = cross(dy, n), r2 = cross(n, dx);
    float det = dot(dx, r1);
    vec3 gradient = sign(det) * (dFdx(height) * r1 + dFdy(height) * r2);
    return normalize(abs(det) * n - gradient);
}
